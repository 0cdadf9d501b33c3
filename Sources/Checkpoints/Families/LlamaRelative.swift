import JSON
import Models

/// A family with Llama's configuration keys: RMSNorm, a gated feed-forward layer, rotary positions.
protocol LlamaRelative: ModelFamily {
    /// The KV heads for an absent key; nil for as many as heads, as null means in every family.
    var defaultKVHeads: Int? { get }
    /// The maximum sequence length for an absent key.
    var defaultMaxSequence: Int { get }
    /// The width of a head in a model of these sizes.
    func headDim(_ file: HuggingFaceConfig, hiddenSize: Int, heads: Int) throws(ImportError) -> Int
    /// Whether the feed-forward layer may have biases.
    var allowsFeedForwardBias: Bool { get }
    /// Sets the parts that the family adds to a plain Llama.
    func addParts(_ file: HuggingFaceConfig, to config: inout ModelConfig) throws(ImportError)
    /// Members of `config.json` for these parts.
    func partMembers(_ config: ModelConfig) throws(ImportError) -> [(String, String)]
}

extension LlamaRelative {
    var defaultKVHeads: Int? { nil }
    var allowsFeedForwardBias: Bool { false }

    func modelConfig(_ file: HuggingFaceConfig) throws(ImportError) -> ModelConfig {
        if let value = file.json["hidden_act"], !["silu", "swish"].contains(value.string) {
            throw file.unsupported("hidden_act", value, "silu")
        }
        let hiddenSize = try file.positive("hidden_size")
        let heads = try file.positive("num_attention_heads")
        var config = ModelConfig(
            vocabularySize: try file.positive("vocab_size"), hiddenSize: hiddenSize,
            feedForwardSize: try file.positive("intermediate_size"), layers: try file.layers("num_hidden_layers"),
            heads: .all(heads),
            // Null means MHA; where it is absent some classes have a number of their own.
            kvHeads: .all(
                try file.positive(
                    "num_key_value_heads", default: file.json.has("num_key_value_heads") ? heads : defaultKVHeads ?? heads)),
            headDim: .all(try headDim(file, hiddenSize: hiddenSize, heads: heads)),
            maxSequence: try file.positive("max_position_embeddings", default: defaultMaxSequence),
            normEpsilon: try file.number("rms_norm_eps", default: 1e-6), ropeTheta: try file.ropeTheta(),
            tiedEmbeddings: try file.flag("tie_word_embeddings") ?? false)
        if allowsFeedForwardBias {
            if try file.flag("mlp_bias") ?? false { config.hasFeedForwardBias = true }
        } else {
            try file.refuse("mlp_bias")
        }
        try addParts(file, to: &config)
        try file.scaleRope(&config)
        return config
    }

    func headDim(_ file: HuggingFaceConfig, hiddenSize: Int, heads: Int) throws(ImportError) -> Int {
        try statedHeadDim(file, hiddenSize: hiddenSize, heads: heads)
    }

    /// The width of a head that the configuration states, else hidden size / heads.
    func statedHeadDim(_ file: HuggingFaceConfig, hiddenSize: Int, heads: Int) throws(ImportError) -> Int {
        if file.json["head_dim"] != nil { return try file.positive("head_dim") }
        guard hiddenSize % heads == 0 else {
            throw .invalid(
                path: file.path,
                reason: "'hidden_size' \(hiddenSize) is no multiple of 'num_attention_heads' \(heads), and there is no 'head_dim'"
            )
        }
        return hiddenSize / heads
    }

    func check(_ config: ModelConfig) throws(ImportError) { try checkLlamaParts(config) }

    /// Throws the first part that no relative of Llama has, or this one lacks.
    func checkLlamaParts(_ config: ModelConfig) throws(ImportError) {
        if config.hasLearnedPositions == true || config.rotaryWidth != nil || config.hasParallelResidual == true {
            throw .notExpressible(reason: "no family of Llama's has learned or partial rotary positions, or parallel residuals")
        }
        let (qkv, output) = (config.hasQueryKeyValueBias == true, config.hasOutputBias == true)
        if config.hasFeedForwardBias == true, !allowsFeedForwardBias || qkv != output {
            throw .notExpressible(reason: "only Llama has feed-forward biases, and it has nothing else of this model")
        }
        if output, !qkv { throw .notExpressible(reason: "no family has a bias on attention's output alone") }
    }

    func members(_ config: ModelConfig, padID: Int?) throws(ImportError) -> [(String, String)] {
        func uniform(_ key: String, _ setting: PerLayer<Int>) throws(ImportError) -> Int {
            guard let value = setting.uniform else {
                let values = (0..<config.layers).map { setting[$0] }
                throw .notExpressible(reason: "'\(key)' differs between layers (\(values)), config.json has one for all")
            }
            return value
        }
        let headDim = if let shape = config.attentionShape { shape.rotaryDim } else { try uniform("head_dim", config.headDim) }
        let (heads, kvHeads) = (
            try uniform("num_attention_heads", config.heads), try uniform("num_key_value_heads", config.kvHeads)
        )
        return [
            ("attention_dropout", "0.0"), ("head_dim", "\(headDim)"), ("hidden_act", "\"silu\""),
            ("hidden_size", "\(config.hiddenSize)"), ("intermediate_size", "\(config.feedForwardSize)"),
            ("max_position_embeddings", "\(config.maxSequence)"), ("num_attention_heads", "\(heads)"),
            ("num_hidden_layers", "\(config.layers)"), ("num_key_value_heads", "\(kvHeads)"),
            ("pad_token_id", padID.map { "\($0)" } ?? "null"), ("rms_norm_eps", "\(config.normEpsilon)"),
            ("rope_scaling", config.ropeScaling.json), ("rope_theta", "\(config.ropeTheta)"),
        ] + (try partMembers(config))
    }
}

extension HuggingFaceConfig {
    /// Sets biases on all four projections of attention if the configuration asks for them.
    func addAttentionBias(to config: inout ModelConfig) throws(ImportError) {
        if try flag("attention_bias") ?? false { (config.hasQueryKeyValueBias, config.hasOutputBias) = (true, true) }
    }

    /// Throws if a layer has a window.
    func refuseWindows(layers: Int) throws(ImportError) {
        if let value = json["sliding_window"] { throw unsupported("sliding_window", value, "null") }
        _ = try slidingLayers(layers, windowed: false)
    }

    /// The width of windows: 4096 where the key is absent, nil for null.
    func windowWidth() throws(ImportError) -> Int? {
        json.has("sliding_window") ? try optional("sliding_window", from: 1) : 4096
    }

    /// Whether `layer_types` gives each layer a window, which `windowed` allows; nil if the key is absent.
    func slidingLayers(_ layers: Int, windowed: Bool) throws(ImportError) -> [Bool]? {
        guard let value = json["layer_types"] else { return nil }
        let types = value.array?.map(\.string) ?? []
        guard types.count == layers, types.allSatisfy({ $0 == "full_attention" || $0 == "sliding_attention" && windowed }) else {
            throw unsupported(
                "layer_types", value,
                windowed ? "full_attention or sliding_attention for each layer" : "full_attention in every layer")
        }
        return types.map { $0 == "sliding_attention" }
    }
}

extension ModelConfig {
    /// The windows; nil if no layer has one.
    var windows: PerLayer<Int>? {
        slidingWindow.flatMap { windows in (0..<layers).contains { windows[$0] > 0 } ? windows : nil }
    }
}
