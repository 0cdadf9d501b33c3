import Models

/// Qwen3 (Yang et al. 2025): a norm of each head's queries and keys, sliding windows in some layers.
struct Qwen3Family: LlamaRelative {
    let modelType = "qwen3"
    let className = "Qwen3ForCausalLM"
    let defaultKVHeads: Int? = 32
    let defaultMaxSequence = 32_768

    func headDim(_ file: HuggingFaceConfig, hiddenSize: Int, heads: Int) throws(ImportError) -> Int {
        // Null means hidden size / heads, an absent key does not.
        file.json.has("head_dim") ? try statedHeadDim(file, hiddenSize: hiddenSize, heads: heads) : 128
    }

    func addParts(_ file: HuggingFaceConfig, to config: inout ModelConfig) throws(ImportError) {
        config.hasQueryKeyNorm = true
        try file.addAttentionBias(to: &config)
        config.slidingWindow = try QwenWindows.read(file, layers: config.layers)
    }

    func claims(_ config: ModelConfig) -> Bool { config.hasQueryKeyNorm == true }

    func check(_ config: ModelConfig) throws(ImportError) {
        try checkLlamaParts(config)
        guard (config.hasQueryKeyValueBias == true) == (config.hasOutputBias == true) else {
            throw .notExpressible(reason: "Qwen3 has biases on all four projections or on none")
        }
    }

    func partMembers(_ config: ModelConfig) throws(ImportError) -> [(String, String)] {
        [("attention_bias", "\(config.hasQueryKeyValueBias == true)")] + (try QwenWindows.members(config))
    }
}
