import Kernels

/// How a pass without a cache is computed; none of it changes what is computed beyond rounding.
public struct ComputeOptions: Sendable, Hashable {
    /// What the matrix products are multiplied in.
    public var precision: ComputePrecision
    /// Which activations the backward pass computes again instead of keeping them.
    public var recompute: Recompute

    /// Float32 products, all activations kept, unless said otherwise.
    public init(precision: ComputePrecision = .fp32, recompute: Recompute = .none) {
        self.precision = precision
        self.recompute = recompute
    }
}

/// Which activations are computed twice to save memory (activation checkpointing, Chen et al. 2016).
public enum Recompute: String, Sendable, Hashable, Codable, CaseIterable {
    /// None: everything the backward pass needs is kept.
    case none
    /// A decoder block keeps its input alone, and is run again when the backward pass comes to it: a third more work.
    case block
}
