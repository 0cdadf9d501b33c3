import Kernels

/// Precision and activation checkpointing of a pass without a cache; they change results only by rounding.
public struct ComputeOptions: Sendable, Hashable {
    /// The precision of the matrix products.
    public var precision: ComputePrecision
    /// The activations that the backward pass recomputes.
    public var recompute: Recompute

    /// Options; by default Float32 products, all activations kept.
    public init(precision: ComputePrecision = .fp32, recompute: Recompute = .none) {
        self.precision = precision
        self.recompute = recompute
    }
}

/// Activation checkpointing (Chen et al. 2016): which activations are recomputed to save memory.
public enum Recompute: String, Sendable, Hashable, Codable, CaseIterable {
    /// Nothing is recomputed: all activations are kept.
    case none
    /// Each decoder block keeps only its input and is rerun in the backward pass: a third more work.
    case block
}
