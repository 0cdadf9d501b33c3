import Kernels

/// The one stage every step's gradients pass between the backward pass and clipping.
///
/// Here all of a batch is computed by one process and nothing needs to be added; several ranks that share a batch will sum
/// theirs at this point, in place.
public struct GradientReduction: Sendable {
    /// Makes `gradients` the sum over all who share the batch.
    public let reduce: @Sendable (_ gradients: [String: Storage]) throws -> Void

    /// A reduction by `reduce`, which gets the gradients by weight name and writes the sums in their place.
    public init(_ reduce: @escaping @Sendable (_ gradients: [String: Storage]) throws -> Void) { self.reduce = reduce }

    /// One process has the whole batch.
    public static let local = GradientReduction { _ in }
}
