/// The `svd` merge, refined layer by layer against the parent's activations (see ``Refinement``).
struct LearnedMethod: HeadMerge {
    static let name = "learned"
    static let summary = "svd, then each layer refined to give the parent's outputs on calibration text"
    /// The refinement runs after all layers are merged.
    static let refines = true
    /// Similarity and errors are measured over activations if given.
    static let usesActivations = true

    /// The start of the refinement.
    func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) throws -> LayerConversion {
        try SVDMethod().convert(layer, to: kvHeads, context)
    }
}
