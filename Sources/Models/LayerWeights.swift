/// The embedding weights, each held as `Value`.
struct EmbeddingWeights<Value> {
    /// [vocab, hidden].
    let tokens: Value
    /// Position embeddings [positions, hidden], where positions are learned.
    let positions: Value?

    init<Failure>(_ config: ModelConfig, _ bind: WeightBinding<Value, Failure>) throws(Failure) {
        tokens = try bind(WeightName(.embedding), [config.vocabularySize, config.hiddenSize])
        let isLearned = config.hasLearnedPositions == true
        positions = isLearned ? try bind(WeightName(.positions), [config.maxSequence, config.hiddenSize]) : nil
    }
}

/// The weights of one decoder layer, each held as `Value`.
struct LayerWeights<Value> {
    let attentionNorm: Norm<Value>
    let attention: AttentionKind<Value>
    let feedForwardNorm: Norm<Value>
    let feedForward: FeedForwardWeights<Value>

    init<Failure>(_ config: ModelConfig, layer: Int, _ bind: WeightBinding<Value, Failure>) throws(Failure) {
        attentionNorm = try Norm(config, WeightName(.attentionNorm, layer: layer), bind)
        attention = try AttentionKind(config, layer: layer, bind)
        feedForwardNorm = try Norm(config, WeightName(.feedForwardNorm, layer: layer), bind)
        feedForward = try FeedForwardWeights(config, layer: layer, bind)
    }
}

/// The weights after the layers, each held as `Value`.
struct HeadWeights<Value> {
    let norm: Norm<Value>
    /// The output projection [vocab, hidden]; nil where it is tied to the embedding.
    let projection: Value?

    init<Failure>(_ config: ModelConfig, _ bind: WeightBinding<Value, Failure>) throws(Failure) {
        norm = try Norm(config, WeightName(.finalNorm), bind)
        projection = config.tiedEmbeddings ? nil : try bind(WeightName(.head), [config.vocabularySize, config.hiddenSize])
    }
}
