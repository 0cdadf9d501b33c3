import Models

/// Llama (Touvron et al. 2023): optional biases on attention's projections and in the feed-forward layer.
struct LlamaFamily: LlamaRelative {
    let modelType = "llama"
    let className = "LlamaForCausalLM"
    let defaultMaxSequence = 2048
    let allowsFeedForwardBias = true

    func addParts(_ file: HuggingFaceConfig, to config: inout ModelConfig) throws(ImportError) {
        try file.addAttentionBias(to: &config)
        try file.refuseWindows(layers: config.layers)
    }

    func claims(_ config: ModelConfig) -> Bool { true }

    func partMembers(_ config: ModelConfig) -> [(String, String)] {
        [
            ("attention_bias", "\(config.hasQueryKeyValueBias == true)"), ("mlp_bias", "\(config.hasFeedForwardBias == true)"),
            ("pretraining_tp", "1"),
        ]
    }
}
