/// The `svd` merge, refined layer by layer against the parent's activations (see ``Refinement``).
public struct LearnedMethod: HeadMerge {
    /// What `--method` and recipes call it.
    public static let name = "learned"
    /// Its line in `--help`.
    public static let summary = "svd, then each layer refined to give the parent's outputs on calibration text"
    /// The refinement follows once all layers are merged.
    public static let refines = true
    /// Similarity and errors are measured over activations where there are any.
    public static let usesActivations = true

    /// The method has no settings.
    public init() {}

    /// Where the refinement starts.
    public func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) throws -> LayerConversion {
        try SVDMethod().convert(layer, to: kvHeads, context)
    }
}
