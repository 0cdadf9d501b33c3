import JSON
import Models

/// The families of `config.json` that kvlab computes: one decoder, with what each adds to it.
enum HuggingFaceFamily: String, CaseIterable {
    case llama, mistral, qwen2, qwen3, gpt2
    case neox = "gpt_neox"
    case deepseek = "deepseek_v2"

    /// The class that `architectures` names.
    var className: String {
        switch self {
        case .llama: "LlamaForCausalLM"
        case .mistral: "MistralForCausalLM"
        case .qwen2: "Qwen2ForCausalLM"
        case .qwen3: "Qwen3ForCausalLM"
        case .gpt2: "GPT2LMHeadModel"
        case .neox: "GPTNeoXForCausalLM"
        case .deepseek: "DeepseekV2ForCausalLM"
        }
    }

    static let names = allCases.map(\.rawValue).joined(separator: ", ")

    /// KV heads where the key is absent; nil for as many as heads. Null means that everywhere.
    var defaultKVHeads: Int? {
        switch self {
        case .llama, .gpt2, .neox, .deepseek: nil
        case .mistral: 8
        case .qwen2, .qwen3: 32
        }
    }

    /// The head dim where the key is absent; nil for hidden size / heads.
    var defaultHeadDim: Int? { self == .qwen3 ? 128 : nil }

    var defaultMaxSequence: Int {
        switch self {
        case .llama, .neox, .deepseek: 2048
        case .gpt2: 1024
        case .mistral: 131_072
        case .qwen2, .qwen3: 32_768
        }
    }
}

extension HuggingFaceConfig {
    /// Sets what the family adds to a plain Llama.
    func addParts(_ family: HuggingFaceFamily, to config: inout ModelConfig) throws(ImportError) {
        let hasBias = try flag("attention_bias") ?? false
        switch family {
        case .gpt2, .neox: break
        case .llama:
            if hasBias { (config.hasQueryKeyValueBias, config.hasOutputBias) = (true, true) }
            if try flag("mlp_bias") ?? false { config.hasFeedForwardBias = true }
        case .mistral: break
        case .deepseek:
            config.latent = try latentShape()
            if try flag("mlp_bias") ?? false { config.hasFeedForwardBias = true }
        case .qwen2: config.hasQueryKeyValueBias = true
        case .qwen3:
            config.hasQueryKeyNorm = true
            if hasBias { (config.hasQueryKeyValueBias, config.hasOutputBias) = (true, true) }
        }
        if family != .llama, family != .deepseek, let value = json["mlp_bias"], value != .bool(false) {
            throw .unsupported(path: path, key: "mlp_bias", found: value.text, supported: "false")
        }
        if family == .mistral || family == .deepseek, hasBias {
            throw .unsupported(path: path, key: "attention_bias", found: "true", supported: "false")
        }
        config.slidingWindow = try window(family, layers: config.layers)
        try scaleRope(&config)
    }

    /// The window of each layer; nil where all see everything.
    private func window(_ family: HuggingFaceFamily, layers: Int) throws(ImportError) -> PerLayer<Int>? {
        var width: Int?
        switch family {
        case .llama, .gpt2, .neox, .deepseek: width = nil
        case .mistral: width = json.has("sliding_window") ? try optional("sliding_window", from: 1) : 4096
        case .qwen2, .qwen3:
            if try flag("use_sliding_window") ?? false {
                width = json.has("sliding_window") ? try optional("sliding_window", from: 1) : 4096
            }
        }
        if family == .llama || family == .deepseek, let value = json["sliding_window"] {
            throw .unsupported(path: path, key: "sliding_window", found: value.text, supported: "null")
        }
        if let value = json["layer_types"] {
            let types = value.array?.map(\.string) ?? []
            guard types.count == layers, types.allSatisfy({ $0 == "full_attention" || $0 == "sliding_attention" && width != nil })
            else {
                throw .unsupported(
                    path: path, key: "layer_types", found: value.text,
                    supported: width == nil
                        ? "full_attention in every layer" : "full_attention or sliding_attention for each layer")
            }
            guard family != .mistral else {
                guard Set(types).count <= 1 else {
                    throw .unsupported(
                        path: path, key: "layer_types", found: value.text, supported: "one type for all of Mistral's layers")
                }
                return types.contains("full_attention") ? nil : width.map { .all($0) }
            }
            guard let width, types.contains("sliding_attention") else { return nil }
            return PerLayer(types.map { $0 == "sliding_attention" ? width : 0 })
        }
        guard let width else { return nil }
        guard family != .mistral else { return .all(width) }
        let first = try optional("max_window_layers", from: 0) ?? 28
        return first >= layers ? nil : PerLayer((0..<layers).map { $0 >= first ? width : 0 })
    }
}

// MARK: RoPE

extension HuggingFaceConfig {
    private static let ropeKeys = [
        "rope_type", "type", "rope_theta", "partial_rotary_factor", "factor", "original_max_position_embeddings",
        "low_freq_factor",
        "high_freq_factor", "beta_fast", "beta_slow", "attention_factor", "mscale", "mscale_all_dim", "truncate",
    ]

    /// Sets the scaling that ``ropeSettings()`` ask for.
    func scaleRope(_ config: inout ModelConfig) throws(ImportError) {
        guard let (key, value) = try ropeSettings() else { return }
        func refuse(_ name: String, _ supported: String) -> ImportError {
            .unsupported(path: path, key: key + "." + name, found: value[name]?.text ?? "absent", supported: supported)
        }
        let names = (value.members ?? []).map(\.name)
        if let other = names.filter({ !Self.ropeKeys.contains($0) && value[$0] != nil }).min() {
            throw refuse(other, "the settings of linear, llama3 and yarn")
        }
        if config.rotaryWidth == nil, let factor = value["partial_rotary_factor"], factor.double != 1 {
            throw refuse("partial_rotary_factor", "1")
        }
        let name = value["rope_type"] == nil ? "type" : "rope_type"
        guard let type = value[name], type.string != "default" else { return }
        if type.string == "dynamic" {
            // Up to the original length it is plain; beyond, cached keys would be turned otherwise than new ones.
            let original = value["original_max_position_embeddings"]?.int ?? config.maxSequence
            config.maxSequence = min(config.maxSequence, max(original, 1))
            return
        }
        guard let kind = type.string.flatMap({ RopeScaling.Kind(rawValue: $0) }) else {
            throw refuse(name, "default, linear, llama3, yarn, and dynamic up to the original length")
        }
        config.ropeScaling = try scaling(kind, value, key, maxSequence: config.maxSequence)
    }

    private func scaling(
        _ kind: RopeScaling.Kind, _ value: JSONValue, _ key: String, maxSequence: Int
    ) throws(ImportError) -> RopeScaling {
        func number(_ name: String) throws(ImportError) -> Double? {
            guard let found = value[name] else { return nil }
            guard let number = found.double else {
                throw .wrongValue(path: path, key: key + "." + name, found: found.text, expected: "a number")
            }
            return number
        }
        var original: Int?
        if kind != .linear {
            original = (value["original_max_position_embeddings"] ?? json["original_max_position_embeddings"])?.int ?? maxSequence
        }
        guard let factor = try number("factor") ?? original.map({ Double(maxSequence) / Double(max($0, 1)) }) else {
            throw .missingKey(path: path, key: key + ".factor")
        }
        var scaling = RopeScaling(kind: kind, factor: factor, originalMaxSequence: original)
        switch kind {
        case .linear: break
        case .llama3:
            scaling.lowFrequencyFactor = try number("low_freq_factor")
            scaling.highFrequencyFactor = try number("high_freq_factor")
        case .yarn:
            scaling.betaFast = try number("beta_fast")
            scaling.betaSlow = try number("beta_slow")
            scaling.truncates = value["truncate"]?.bool
            scaling.attentionFactor = try number("attention_factor")
            if scaling.attentionFactor == nil, let mscale = try number("mscale"), let all = try number("mscale_all_dim"),
                mscale != 0, all != 0
            {
                func amplitude(_ scale: Double) -> Double {
                    // 0.1 · scale · ln(factor) + 1
                    1 + scale * (RopeScaling(kind: .yarn, factor: factor).amplitude - 1)
                }
                scaling.attentionFactor = amplitude(mscale) / amplitude(all)
            }
        }
        return scaling
    }
}
