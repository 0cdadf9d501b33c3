/// The `svd` merge, refined layer by layer against the parent's activations (see ``Refinement``).
struct LearnedMethod: HeadMerge {
    static let name = "learned"
    static let summary = "svd, then each layer refined to give the parent's outputs on calibration text"
    /// The refinement follows once all layers are merged.
    static let refines = true
    /// Similarity and errors are measured over activations where there are any.
    static let usesActivations = true

    /// Where the refinement starts.
    func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) throws -> LayerConversion {
        try SVDMethod().convert(layer, to: kvHeads, context)
    }
}
