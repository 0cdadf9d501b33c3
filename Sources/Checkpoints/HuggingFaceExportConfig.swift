import Kernels
import Models

/// The members of the `config.json` that describes a model.
struct HuggingFaceExportConfig {
    let config: ModelConfig

    /// The family that has all of the model's parts; throws ``ImportError`` where there is none.
    func family() throws(ImportError) -> HuggingFaceFamily {
        if config.latent != nil {
            try refuseLatent()
            return .deepseek
        }
        if (0..<config.layers).contains(where: { config.keyValueSource($0) != nil }) {
            throw .notExpressible(reason: "no family's configuration says which layers share keys and values")
        }
        if (config.attentionSinks ?? 0) > 0 {
            throw .notExpressible(reason: "no family has windows with the first tokens beside them (attention sinks)")
        }
        if config.hasLayerNorm == true || config.activation != nil { return try gptFamily() }
        if config.hasLearnedPositions == true || config.rotaryWidth != nil || config.hasParallelResidual == true {
            throw .notExpressible(reason: "no family of Llama's has learned or partial rotary positions, or parallel residuals")
        }
        let (qkv, output) = (config.hasQueryKeyValueBias == true, config.hasOutputBias == true)
        let isNormed = config.hasQueryKeyNorm == true
        if config.hasFeedForwardBias == true, isNormed || window != nil || qkv != output {
            throw .notExpressible(reason: "only Llama has feed-forward biases, and it has nothing else of this model")
        }
        if output, !qkv { throw .notExpressible(reason: "no family has a bias on attention's output alone") }
        if isNormed {
            guard qkv == output else { throw .notExpressible(reason: "Qwen3 has biases on all four projections or on none") }
            return .qwen3
        }
        if qkv, !output { return .qwen2 }
        guard let window else { return .llama }
        guard !qkv else { throw .notExpressible(reason: "no family has sliding windows and a bias on attention's output") }
        guard window.uniform != nil else {
            throw .notExpressible(reason: "windows that differ between layers are for Qwen2 and Qwen3 alone")
        }
        return .mistral
    }

    /// The windows, where any is narrower than the longest sequence.
    private var window: PerLayer<Int>? {
        guard let setting = config.slidingWindow, (0..<config.layers).contains(where: { setting[$0] > 0 }) else { return nil }
        return setting
    }

    /// Keys and values, as JSON, of what goes beyond sizes.
    func members(_ family: HuggingFaceFamily) throws(ImportError) -> [(String, String)] {
        var members = [
            ("architectures", "[\"\(family.className)\"]"), ("model_type", "\"\(family.rawValue)\""), ("rope_scaling", rope),
        ]
        switch family {
        case .gpt2, .neox: break
        case .deepseek: members += config.latent.map(latentMembers) ?? []
        case .llama:
            members += [
                ("attention_bias", "\(config.hasQueryKeyValueBias == true)"),
                ("mlp_bias", "\(config.hasFeedForwardBias == true)"),
                ("pretraining_tp", "1"),
            ]
        case .mistral: members.append(("sliding_window", "\(window?.uniform ?? 0)"))
        case .qwen2, .qwen3:
            if family == .qwen3 { members.append(("attention_bias", "\(config.hasQueryKeyValueBias == true)")) }
            guard let window else {
                members += [("use_sliding_window", "false"), ("max_window_layers", "\(config.layers)")]
                break
            }
            let widths = Set((0..<config.layers).map { window[$0] }.filter { $0 > 0 })
            guard widths.count == 1, let width = widths.first else {
                throw .notExpressible(reason: "its windows have several widths (\(widths.sorted())), config.json has one")
            }
            let types = (0..<config.layers).map { window[$0] > 0 ? "\"sliding_attention\"" : "\"full_attention\"" }
            // Older versions know no layer_types, but from which layer on there are windows.
            let first = (0..<config.layers).first { window[$0] > 0 } ?? config.layers
            members += [
                ("use_sliding_window", "true"), ("sliding_window", "\(width)"), ("max_window_layers", "\(first)"),
                ("layer_types", "[\(types.joined(separator: ", "))]"),
            ]
        }
        return members
    }

    var rope: String {
        guard let scaling = config.ropeScaling else { return "null" }
        var members = [("rope_type", "\"\(scaling.kind.rawValue)\""), ("factor", "\(scaling.factor)")]
        if let original = scaling.originalMaxSequence { members.append(("original_max_position_embeddings", "\(original)")) }
        for (key, value) in [
            ("low_freq_factor", scaling.lowFrequencyFactor), ("high_freq_factor", scaling.highFrequencyFactor),
            ("beta_fast", scaling.betaFast), ("beta_slow", scaling.betaSlow), ("attention_factor", scaling.attentionFactor),
        ] { if let value { members.append((key, "\(value)")) } }
        if let truncates = scaling.truncates { members.append(("truncate", "\(truncates)")) }
        return "{" + members.map { "\"\($0.0)\": \($0.1)" }.joined(separator: ", ") + "}"
    }
}
