import JSON
import Models

/// GPT-2 or a relative: LayerNorm, two matrices with an activation between them, keys and values for each head.
protocol GPTRelative: ModelFamily {
    /// The names of the modules in the family's files, without ``WeightName/Module/head``.
    var names: [WeightName.Module: String] { get }
    /// The rows of the projection of queries, keys and values that are the queries' (0), the keys' (1) or the values' (2).
    func rows(part: Int, of count: Int, _ config: ModelConfig) -> [Range<Int>]
}

/// The keys of a family's sizes.
struct GPTKeys {
    var hidden: String, heads: String, feedForward: String, layers: String, positions: String, epsilon: String, activation: String
}

extension HuggingFaceConfig {
    /// The parts that GPTs have in common: heads as wide together as the hidden size, biases everywhere.
    ///
    /// - Parameter feedForwardFactor: the feed-forward size's default as a multiple of the hidden size; nil to require its key.
    func gptConfig(
        _ keys: GPTKeys, maxSequence: Int, activation: Activation, isTied: Bool, feedForwardFactor: Int? = nil
    ) throws(ImportError) -> ModelConfig {
        let hiddenSize = try positive(keys.hidden)
        let heads = try positive(keys.heads)
        guard hiddenSize % heads == 0 else {
            throw .invalid(path: path, reason: "hidden size \(hiddenSize) is no multiple of \(heads) heads")
        }
        let feedForwardSize = try positive(keys.feedForward, default: feedForwardFactor.map { $0 * hiddenSize })
        var config = ModelConfig(
            vocabularySize: try positive("vocab_size"), hiddenSize: hiddenSize, feedForwardSize: feedForwardSize,
            layers: try layers(keys.layers), heads: .all(heads), kvHeads: .all(heads), headDim: .all(hiddenSize / heads),
            maxSequence: try positive(keys.positions, default: maxSequence),
            normEpsilon: try number(keys.epsilon, default: 1e-5),
            tiedEmbeddings: try flag("tie_word_embeddings") ?? isTied)
        (config.hasLayerNorm, config.hasFeedForwardBias) = (true, true)
        (config.hasQueryKeyValueBias, config.hasOutputBias) = (true, true)
        config.activation = try self.activation(keys.activation) ?? activation
        return config
    }

    private func activation(_ key: String) throws(ImportError) -> Activation? {
        guard let value = json[key] else { return nil }
        switch value.string {
        case "gelu": return .gelu
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": return .geluTanh
        case "relu": return .relu
        default: throw unsupported(key, value, "gelu, gelu_new, gelu_pytorch_tanh, relu")
        }
    }
}

extension GPTRelative {
    func check(_ config: ModelConfig) throws(ImportError) { try checkGPTParts(config) }

    /// Throws the first part that no GPT has.
    func checkGPTParts(_ config: ModelConfig) throws(ImportError) {
        func refuse(_ reason: String) -> ImportError { .notExpressible(reason: "GPT-2 and GPT-NeoX " + reason) }
        guard config.hasLayerNorm == true, config.activation != nil else {
            throw refuse("have LayerNorm and a feed-forward layer without a gate, of which this model has only one")
        }
        for layer in 0..<config.layers {
            guard config.kvHeads[layer] == config.heads[layer] else {
                throw refuse(
                    "have keys and values for each head; layer \(layer) has \(config.kvHeads[layer]) for \(config.heads[layer])")
            }
            guard config.heads[layer] * config.headDim[layer] == config.hiddenSize else {
                throw refuse("have heads as wide together as the hidden size; layer \(layer)'s are not")
            }
            guard config.window(layer) == nil else { throw refuse("have no windows") }
        }
        guard config.hasQueryKeyNorm != true else { throw refuse("have no norms of queries and keys") }
        guard config.hasFeedForwardBias == true, config.hasQueryKeyValueBias == config.hasOutputBias else {
            throw refuse("have biases in both places of the feed-forward layer, and of attention on all projections or on none")
        }
    }

    /// The place of a weight in files with one tensor of queries, keys and values.
    func joinedPlace(_ name: WeightName, shape: [Int], _ config: ModelConfig, layers: String) -> StoredWeight {
        let stored = name.stored(names[name.module] ?? name.module.rawValue, layers: layers)
        var place = StoredWeight(name: optionalPrefix + stored, shape: shape)
        if let part = [WeightName.Module.query, .key, .value].firstIndex(of: name.module) {
            place.rows = rows(part: part, of: shape[0], config)
            place.shape[0] = 3 * shape[0]
        }
        return place
    }
}
