/// The `svd` merge, refined against the parent's predictions (see ``Refinement``).
struct LearnedMethod: HeadMerge {
    static let name = "learned"
    static let summary = "svd, then attention trained to give the parent's predictions on calibration text"
    /// The refinement runs after all layers are merged.
    static let refines = true
    /// Similarity and errors are measured over activations if given.
    static let usesActivations = true

    /// The start of the refinement.
    func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) throws -> LayerConversion {
        try SVDMethod().convert(layer, to: kvHeads, context)
    }
}
