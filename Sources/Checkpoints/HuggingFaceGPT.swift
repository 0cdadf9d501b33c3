import JSON
import Models

/// GPT-2 and GPT-NeoX (Pythia): LayerNorm, two matrices with an activation, biases everywhere.
extension HuggingFaceConfig {
    /// The model that a GPT-2's or a GPT-NeoX's configuration describes.
    func gptConfig(_ family: HuggingFaceFamily) throws(ImportError) -> ModelConfig {
        let isGPT2 = family == .gpt2
        let hiddenSize = try positive(isGPT2 ? "n_embd" : "hidden_size")
        let heads = try positive(isGPT2 ? "n_head" : "num_attention_heads")
        guard hiddenSize % heads == 0 else {
            throw .invalid(path: path, reason: "hidden size \(hiddenSize) is no multiple of \(heads) heads")
        }
        var config = ModelConfig(
            vocabularySize: try positive("vocab_size"), hiddenSize: hiddenSize,
            feedForwardSize: try positive(isGPT2 ? "n_inner" : "intermediate_size", default: isGPT2 ? 4 * hiddenSize : nil),
            layers: try positive(isGPT2 ? "n_layer" : "num_hidden_layers"), heads: .all(heads), kvHeads: .all(heads),
            headDim: .all(hiddenSize / heads),
            maxSequence: try positive(isGPT2 ? "n_positions" : "max_position_embeddings", default: family.defaultMaxSequence),
            normEpsilon: try number(isGPT2 ? "layer_norm_epsilon" : "layer_norm_eps", default: 1e-5),
            tiedEmbeddings: try flag("tie_word_embeddings") ?? isGPT2)
        config.hasLayerNorm = true
        config.hasFeedForwardBias = true
        let hasAttentionBias = isGPT2 ? true : try flag("attention_bias") ?? true
        if hasAttentionBias { (config.hasQueryKeyValueBias, config.hasOutputBias) = (true, true) }
        config.activation = try activation(isGPT2 ? "activation_function" : "hidden_act", default: isGPT2 ? .geluTanh : .gelu)
        if isGPT2 {
            for (key, only) in [("scale_attn_weights", true), ("scale_attn_by_inverse_layer_idx", false)] {
                if let value = try flag(key), value != only {
                    throw .unsupported(path: path, key: key, found: "\(value)", supported: "\(only)")
                }
            }
            (config.hasLearnedPositions, config.rotaryWidth) = (true, 0)
        } else {
            try addNeoXParts(&config)
        }
        guard config.layers <= 4096 else {
            throw .invalid(path: path, reason: "\(config.layers) layers are above 4096")
        }
        do throws(ModelConfigError) { try config.validate() } catch { throw .invalid(path: path, reason: error.description) }
        return config
    }

    private func addNeoXParts(_ config: inout ModelConfig) throws(ImportError) {
        if try flag("use_parallel_residual") ?? true { config.hasParallelResidual = true }
        var factor = try number("rotary_pct", default: 0.25)
        if let (key, settings) = try ropeSettings(), let value = settings["partial_rotary_factor"] {
            guard let number = value.double else {
                throw .wrongValue(path: path, key: key + ".partial_rotary_factor", found: value.text, expected: "a number")
            }
            factor = number
        }
        guard factor >= 0, factor <= 1 else {
            throw .wrongValue(path: path, key: "rotary_pct", found: "\(factor)", expected: "a share from 0 to 1")
        }
        config.ropeTheta = try ropeTheta("rotary_emb_base")
        // Other families' keys, which transformers passes over here.
        for (key, value, own) in [
            ("rope_theta", config.ropeTheta, "rotary_emb_base"), ("partial_rotary_factor", factor, "rotary_pct"),
        ] {
            guard let found = json[key], found.double != value else { continue }
            throw .unsupported(path: path, key: key, found: found.text, supported: "GPT-NeoX's own key, \(own)")
        }
        // transformers rounds down, and pairs what is left.
        let width = Int(Double(config.headDim[0]) * factor)
        guard width % 2 == 0 else {
            throw .unsupported(
                path: path, key: "rotary_pct", found: "\(factor), \(width) of \(config.headDim[0]) elements",
                supported: "a share that gives an even number")
        }
        if width < config.headDim[0] { config.rotaryWidth = width }
        try scaleRope(&config)
    }

    private func activation(_ key: String, default fallback: Activation) throws(ImportError) -> Activation {
        guard let value = json[key] else { return fallback }
        switch value.string {
        case "gelu": return .gelu
        case "gelu_new", "gelu_pytorch_tanh", "gelu_fast": return .geluTanh
        case "relu": return .relu
        default:
            throw .unsupported(path: path, key: key, found: value.text, supported: "gelu, gelu_new, gelu_pytorch_tanh, relu")
        }
    }
}

/// The `config.json` of a GPT-2 or a GPT-NeoX.
extension HuggingFaceExportConfig {
    /// The family of the two that the model belongs to; throws the reason where it is neither.
    func gptFamily() throws(ImportError) -> HuggingFaceFamily {
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
        guard config.hasLearnedPositions == true else { return .neox }
        guard config.rotaryWidth == 0, config.hasParallelResidual != true, config.hasOutputBias == true, config.ropeScaling == nil
        else { throw .notExpressible(reason: "GPT-2 has biases, no rotary positions and no parallel residual") }
        return .gpt2
    }

    /// Keys and values, as JSON, but for special tokens and element type.
    func gptMembers(_ family: HuggingFaceFamily) -> [(String, String)] {
        let activation = "\"\(config.activation?.rawValue ?? "gelu")\""
        let common = [
            ("architectures", "[\"\(family.className)\"]"), ("model_type", "\"\(family.rawValue)\""),
            ("initializer_range", "0.02"), ("tie_word_embeddings", "\(config.tiedEmbeddings)"), ("use_cache", "true"),
            ("vocab_size", "\(config.vocabularySize)"),
        ]
        guard family == .gpt2 else {
            let rotated = Double(config.rotaryDim(0)) / Double(config.headDim[0])
            return common + [
                ("attention_bias", "\(config.hasQueryKeyValueBias == true)"), ("attention_dropout", "0.0"),
                ("hidden_act", activation),
                ("hidden_dropout", "0.0"), ("hidden_size", "\(config.hiddenSize)"),
                ("intermediate_size", "\(config.feedForwardSize)"), ("layer_norm_eps", "\(config.normEpsilon)"),
                ("max_position_embeddings", "\(config.maxSequence)"), ("num_attention_heads", "\(config.heads[0])"),
                ("num_hidden_layers", "\(config.layers)"), ("rope_scaling", rope), ("rotary_emb_base", "\(config.ropeTheta)"),
                ("rotary_pct", "\(rotated)"), ("use_parallel_residual", "\(config.hasParallelResidual == true)"),
            ]
        }
        return common + [
            ("activation_function", activation), ("attn_pdrop", "0.0"), ("embd_pdrop", "0.0"), ("resid_pdrop", "0.0"),
            ("layer_norm_epsilon", "\(config.normEpsilon)"), ("n_ctx", "\(config.maxSequence)"),
            ("n_embd", "\(config.hiddenSize)"),
            ("n_head", "\(config.heads[0])"), ("n_inner", "\(config.feedForwardSize)"), ("n_layer", "\(config.layers)"),
            ("n_positions", "\(config.maxSequence)"), ("reorder_and_upcast_attn", "false"),
            ("scale_attn_by_inverse_layer_idx", "false"), ("scale_attn_weights", "true"),
        ]
    }
}
