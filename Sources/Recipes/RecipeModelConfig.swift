import Models

extension ModelRecipe {
    /// The model this describes, with a tokenizer of `vocabularySize`.
    public func config(vocabularySize: Int) -> ModelConfig {
        ModelConfig(
            vocabularySize: vocabularySize, hiddenSize: dim, feedForwardSize: ffn, layers: layers, heads: perLayer(heads),
            kvHeads: perLayer(kvHeads), headDim: perLayer(headDim), maxSequence: maxSeq, normEpsilon: normEps,
            ropeTheta: ropeTheta,
            tiedEmbeddings: tied)
    }

    private func perLayer(_ values: [Int]) -> PerLayer<Int> { values.count == 1 ? .all(values[0]) : PerLayer(values) }
}
