/// The configuration of a decoder language model: Llama's, with its relatives' variants.
///
/// Heads, KV heads and the head dimension are independent of each other and of the hidden size, and per layer.
/// MHA, GQA and MQA are one attention: `kvHeads` equal to `heads`, between, or 1. Keys on disk are Hugging Face's.
public struct ModelConfig: Codable, Sendable, Hashable {
    /// Rows of the embedding.
    public var vocabularySize: Int
    /// Width of the residual stream.
    public var hiddenSize: Int
    /// Width of the feed-forward layer.
    public var feedForwardSize: Int
    /// Decoder blocks.
    public var layers: Int
    /// Query heads.
    public var heads: PerLayer<Int>
    /// Key and value heads; divides `heads` in each layer.
    public var kvHeads: PerLayer<Int>
    /// Width of one head; read, never inferred.
    public var headDim: PerLayer<Int>
    /// The longest sequence the model supports.
    public var maxSequence: Int
    /// The norms' epsilon.
    public var normEpsilon: Double
    /// RoPE's base.
    public var ropeTheta: Double
    /// Whether the output projection is tied to the embedding.
    public var tiedEmbeddings: Bool
    /// Whether queries, keys and values have biases (Qwen2, Llama with `attention_bias`); nil is false.
    public var hasQueryKeyValueBias: Bool?
    /// Whether attention's output projection has a bias; nil is false.
    public var hasOutputBias: Bool?
    /// Whether the feed-forward layer's three projections have biases; nil is false.
    public var hasFeedForwardBias: Bool?
    /// QK-norm: whether each head's queries and keys go through an RMSNorm before RoPE (Qwen3); nil is false.
    public var hasQueryKeyNorm: Bool?
    /// Whether blocks have LayerNorm with biases in place of RMSNorm (GPT-2, GPT-NeoX); nil is false.
    public var hasLayerNorm: Bool?
    /// The activation of a feed-forward layer without a gate (GPT-2, GPT-NeoX); nil for SwiGLU.
    public var activation: Activation?
    /// Whether positions are learned: each has a vector that is added to the token's embedding (GPT-2); nil is false.
    public var hasLearnedPositions: Bool?
    /// Partial rotary: the number of first elements of each head that RoPE rotates (GPT-NeoX), 0 for none; nil for all.
    public var rotaryWidth: Int?
    /// Whether the residual is parallel: a block's feed-forward layer reads the input of its attention (GPT-NeoX); nil is false.
    public var hasParallelResidual: Bool?
    /// Keys each position attends to, its own included; 0 for all of them. nil is 0 in every layer.
    public var slidingWindow: PerLayer<Int>?
    /// Attention sinks: first positions that windowed layers see beside their window (Xiao et al. 2023); nil for none.
    public var attentionSinks: Int?
    /// The layer whose keys and values each layer reads: its own number, or that of an earlier layer whose cache it shares; nil
    /// where every layer has its own.
    public var keyValueSources: [Int]?
    /// Multi-head latent attention in every layer; nil for another.
    public var latent: LatentShape?
    /// The scaling of RoPE's frequencies; nil for none.
    public var ropeScaling: RopeScaling?

    /// A configuration, unchecked: ``validate()`` checks it.
    public init(
        vocabularySize: Int, hiddenSize: Int, feedForwardSize: Int, layers: Int, heads: PerLayer<Int>,
        kvHeads: PerLayer<Int>, headDim: PerLayer<Int>, maxSequence: Int, normEpsilon: Double = 1e-5,
        ropeTheta: Double = 10_000, tiedEmbeddings: Bool = true
    ) {
        self.vocabularySize = vocabularySize
        self.hiddenSize = hiddenSize
        self.feedForwardSize = feedForwardSize
        self.layers = layers
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.maxSequence = maxSequence
        self.normEpsilon = normEpsilon
        self.ropeTheta = ropeTheta
        self.tiedEmbeddings = tiedEmbeddings
    }

    /// The attention with weights of its own in every layer; nil for grouped-query attention.
    public var attentionShape: (any AttentionShape)? { latent }

    enum CodingKeys: String, CodingKey {
        case vocabularySize = "vocab_size"
        case hiddenSize = "hidden_size"
        case feedForwardSize = "intermediate_size"
        case layers = "num_hidden_layers"
        case heads = "num_attention_heads"
        case kvHeads = "num_key_value_heads"
        case headDim = "head_dim"
        case maxSequence = "max_position_embeddings"
        case normEpsilon = "rms_norm_eps"
        case ropeTheta = "rope_theta"
        case tiedEmbeddings = "tie_word_embeddings"
        case hasQueryKeyValueBias = "attention_bias"
        case hasOutputBias = "attention_output_bias"
        case hasFeedForwardBias = "mlp_bias"
        case hasQueryKeyNorm = "use_qk_norm"
        case hasLayerNorm = "use_layer_norm"
        case activation = "hidden_act"
        case hasLearnedPositions = "learned_positions"
        case rotaryWidth = "rotary_dim"
        case hasParallelResidual = "use_parallel_residual"
        case slidingWindow = "sliding_window"
        case attentionSinks = "attention_sinks"
        case keyValueSources = "kv_source_layers"
        case latent = "latent_attention"
        case ropeScaling = "rope_scaling"
    }
}

/// A reason why a configuration is invalid.
public enum ModelConfigError: Error, CustomStringConvertible, Equatable {
    /// An extent, under its Hugging Face key, is below 1.
    case notPositive(key: String, value: Int)
    /// A layer's KV heads do not divide its query heads.
    case notDivisible(layer: Int, heads: Int, kvHeads: Int)
    /// A layer's heads have an odd width, of which RoPE cannot rotate pairs.
    case oddHeadDim(layer: Int, headDim: Int)
    /// A per-layer setting does not have one value for each layer.
    case layerCount(key: String, count: Int, layers: Int)
    /// A setting is zero, negative, infinite or NaN where a positive number is needed.
    case notFinite(key: String, value: Double)
    /// An extent is above `limit`, which exceeds that of any known model.
    case tooLarge(key: String, value: Int, limit: Int)
    /// A layer shares keys and values with a layer that has none for it.
    case source(layer: Int, source: Int, reason: String)
    /// A layer's rotary width is odd or exceeds its head dimension.
    case rotaryWidth(Int, layer: Int, headDim: Int)
    /// Two parts that exclude each other.
    case combination(String, String)
    /// The shape of an attention, under its Hugging Face key, does not fit the model.
    case attention(key: String, reason: String)

    /// The sentence for the user, without the file, which the caller puts in front.
    public var description: String {
        switch self {
        case .notPositive(let key, let value): "'\(key)' is \(value), expected at least 1"
        case .notDivisible(let layer, let heads, let kvHeads):
            "layer \(layer): \(heads) heads cannot share \(kvHeads) kvHeads evenly; kvHeads must divide heads"
        case .oddHeadDim(let layer, let headDim):
            "layer \(layer): head dim \(headDim) is odd; RoPE rotates pairs, use an even one"
        case .layerCount(let key, let count, let layers): "'\(key)' lists \(count) values for \(layers) layers"
        case .notFinite(let key, let value): "'\(key)' is \(value), expected a positive finite number"
        case .tooLarge(let key, let value, let limit): "'\(key)' is \(value), above the limit of \(limit)"
        case .source(let layer, let source, let reason): "'kv_source_layers': layer \(layer) reads layer \(source), \(reason)"
        case .rotaryWidth(let width, let layer, let headDim):
            "'rotary_dim' is \(width), expected an even number up to layer \(layer)'s head dim of \(headDim)"
        case .combination(let one, let other): "\(one) and \(other) cannot be had together"
        case .attention(let key, let reason): "'\(key)': \(reason)"
        }
    }
}

extension ModelConfig {
    /// Throws the first fault of the configuration.
    public func validate() throws(ModelConfigError) {
        let limit = 1 << 30
        for (key, value) in [
            ("vocab_size", vocabularySize), ("hidden_size", hiddenSize), ("intermediate_size", feedForwardSize),
            ("num_hidden_layers", layers), ("max_position_embeddings", maxSequence),
        ] {
            guard value >= 1 else { throw .notPositive(key: key, value: value) }
            guard value <= limit else { throw .tooLarge(key: key, value: value, limit: limit) }
        }
        guard layers <= 4096 else { throw .tooLarge(key: "num_hidden_layers", value: layers, limit: 4096) }
        for (key, setting) in [("num_attention_heads", heads), ("num_key_value_heads", kvHeads), ("head_dim", headDim)] {
            if case .each(let values) = setting, values.count != layers {
                throw .layerCount(key: key, count: values.count, layers: layers)
            }
            for layer in 0..<layers {
                guard setting[layer] >= 1 else { throw .notPositive(key: key, value: setting[layer]) }
                guard setting[layer] <= 1 << 16 else { throw .tooLarge(key: key, value: setting[layer], limit: 1 << 16) }
            }
        }
        for layer in 0..<layers {
            guard heads[layer] % kvHeads[layer] == 0 else {
                throw .notDivisible(layer: layer, heads: heads[layer], kvHeads: kvHeads[layer])
            }
            guard headDim[layer] % 2 == 0 else { throw .oddHeadDim(layer: layer, headDim: headDim[layer]) }
            if let rotaryWidth, rotaryWidth < 0 || rotaryWidth > headDim[layer] || rotaryWidth % 2 != 0 {
                throw .rotaryWidth(rotaryWidth, layer: layer, headDim: headDim[layer])
            }
        }
        guard normEpsilon > 0, normEpsilon.isFinite else { throw .notFinite(key: "rms_norm_eps", value: normEpsilon) }
        guard ropeTheta > 0, ropeTheta.isFinite else { throw .notFinite(key: "rope_theta", value: ropeTheta) }
        if case .each(let values)? = slidingWindow, values.count != layers {
            throw .layerCount(key: "sliding_window", count: values.count, layers: layers)
        }
        for layer in 0..<layers {
            if let window = slidingWindow?[layer], window < 0 { throw .notPositive(key: "sliding_window", value: window) }
        }
        if let attentionSinks, attentionSinks < 0 { throw .notPositive(key: "attention_sinks", value: attentionSinks) }
        try validateSources()
        try attentionShape?.validate(self)
        try ropeScaling?.validate()
    }

    private func validateSources() throws(ModelConfigError) {
        guard let keyValueSources else { return }
        guard keyValueSources.count == layers else {
            throw .layerCount(key: "kv_source_layers", count: keyValueSources.count, layers: layers)
        }
        for (layer, source) in keyValueSources.enumerated() where source != layer {
            func refuse(_ reason: String) -> ModelConfigError { .source(layer: layer, source: source, reason: reason) }
            guard source >= 0, source < layer else { throw refuse("which does not come before it") }
            guard keyValueSources[source] == source else { throw refuse("which reads another's itself") }
            guard kvHeads[layer] == kvHeads[source], headDim[layer] == headDim[source] else {
                throw refuse("whose KV heads or head dim are not its own")
            }
            guard window(layer) == window(source) else { throw refuse("whose window is not its own") }
        }
    }

    /// The parts that the first Llama does not have, in words.
    public var partsBeyondLlama: [String] {
        var parts: [String] = []
        if hasQueryKeyValueBias == true || hasOutputBias == true { parts.append(Self.attentionBiasPart) }
        if hasFeedForwardBias == true { parts.append(Self.feedForwardBiasPart) }
        if hasQueryKeyNorm == true { parts.append("norms of queries and keys") }
        if (0..<layers).contains(where: { window($0) != nil }) { parts.append("sliding windows") }
        if (0..<layers).contains(where: { keyValueSource($0) != nil }) { parts.append("keys and values shared between layers") }
        if let attentionShape { parts.append(attentionShape.part) }
        if hasLayerNorm == true { parts.append(Self.layerNormPart) }
        if let activation { parts.append("\(Self.activationPart)\(activation.rawValue)") }
        if hasLearnedPositions == true { parts.append(Self.learnedPositionsPart) }
        if let rotaryWidth { parts.append(rotaryWidth == 0 ? "no rotary positions" : "partial rotary positions") }
        if hasParallelResidual == true { parts.append(Self.parallelPart) }
        if let ropeScaling { parts.append("\(ropeScaling.kind.rawValue) RoPE scaling") }
        return parts
    }

    static let attentionBiasPart = "attention biases"
    private static let feedForwardBiasPart = "feed-forward biases"
    private static let layerNormPart = "LayerNorm"
    private static let activationPart = "a feed-forward layer without a gate, "
    private static let parallelPart = "parallel residuals"
    static let learnedPositionsPart = "learned positions"
    /// The parts outside of attention.
    static let partsBesideAttention =
        [feedForwardBiasPart, layerNormPart, parallelPart] + Activation.allCases.map { activationPart + $0.rawValue }

    /// The earlier layer whose keys and values `layer` shares; nil where it has its own.
    public func keyValueSource(_ layer: Int) -> Int? {
        guard let source = keyValueSources?[layer], source != layer else { return nil }
        return source
    }

    /// Whether another layer shares the keys and values of `layer`.
    func isRead(_ layer: Int) -> Bool { (layer + 1..<max(layers, layer + 1)).contains { keyValueSource($0) == layer } }

    /// The window of `layer` in keys; nil where it sees all of them.
    public func window(_ layer: Int) -> Int? {
        guard let window = slidingWindow?[layer], window > 0, window < maxSequence else { return nil }
        return window
    }
}
