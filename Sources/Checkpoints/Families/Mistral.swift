import Models

/// Mistral (Jiang et al. 2023): one sliding window for all layers.
struct MistralFamily: LlamaRelative {
    let modelType = "mistral"
    let className = "MistralForCausalLM"
    let defaultKVHeads: Int? = 8
    let defaultMaxSequence = 131_072

    func addParts(_ file: HuggingFaceConfig, to config: inout ModelConfig) throws(ImportError) {
        try file.refuse("attention_bias")
        let width = try file.windowWidth()
        let layers = try file.slidingLayers(config.layers, windowed: width != nil) ?? []
        guard Set(layers).count <= 1 else {
            throw file.unsupported("layer_types", file.json["layer_types"], "one type for all of Mistral's layers")
        }
        config.slidingWindow = layers.contains(false) ? nil : width.map { .all($0) }
    }

    func claims(_ config: ModelConfig) -> Bool { config.windows != nil }

    func check(_ config: ModelConfig) throws(ImportError) {
        try checkLlamaParts(config)
        if config.hasQueryKeyValueBias == true {
            throw .notExpressible(reason: "no family has sliding windows and a bias on attention's output")
        }
        guard config.windows?.uniform != nil else {
            throw .notExpressible(reason: "windows that differ between layers are for Qwen2 and Qwen3 alone")
        }
    }

    func partMembers(_ config: ModelConfig) -> [(String, String)] {
        [("sliding_window", "\(config.windows?.uniform ?? 0)")]
    }
}
