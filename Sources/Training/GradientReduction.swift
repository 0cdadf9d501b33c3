import Kernels

/// The reduction (all-reduce) of a step's gradients between the backward pass and clipping.
///
/// A single process computes the whole batch and has nothing to add; several ranks that share a batch will sum their gradients
/// here, in place.
public struct GradientReduction: Sendable {
    /// Replaces `gradients` by their sum over all ranks.
    public let reduce: @Sendable (_ gradients: [String: Storage]) throws -> Void

    /// A reduction by `reduce`, which gets the gradients by weight name and overwrites them with the sums.
    public init(_ reduce: @escaping @Sendable (_ gradients: [String: Storage]) throws -> Void) { self.reduce = reduce }

    /// The reduction of a single process, which changes nothing.
    public static let local = GradientReduction { _ in }
}
