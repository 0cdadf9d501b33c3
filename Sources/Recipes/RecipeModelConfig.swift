import Models

extension ModelRecipe {
    /// The model this describes, with a tokenizer of `vocabularySize`; throws where its attention cannot be had in its sizes.
    public func config(vocabularySize: Int) throws(ModelConfigError) -> ModelConfig {
        var config = ModelConfig(
            vocabularySize: vocabularySize, hiddenSize: dim, feedForwardSize: ffn, layers: layers, heads: perLayer(heads),
            kvHeads: perLayer(kvHeads), headDim: perLayer(headDim), maxSequence: maxSeq, normEpsilon: normEps,
            ropeTheta: ropeTheta,
            tiedEmbeddings: tied)
        try attention?.design(headDim: headDim[0])?.configure(&config)
        try config.validate()
        return config
    }

    /// One value for all layers, or one a layer.
    func perLayer(_ values: [Int]) -> PerLayer<Int> { values.count == 1 ? .all(values[0]) : PerLayer(values) }
}
