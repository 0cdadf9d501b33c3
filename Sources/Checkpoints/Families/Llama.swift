import Models

/// Llama (Touvron et al. 2023): optional biases on attention's projections and in the feed-forward layer.
struct LlamaFamily: LlamaRelative {
    let modelType = "llama"
    let className = "LlamaForCausalLM"
    let defaultMaxSequence = 2048
    let allowsFeedForwardBias = true
    let gguf: GGUFLayout? = .llama

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

extension GGUFLayout {
    /// Source: llama.cpp, `gguf-py/gguf/tensor_mapping.py`; deci is llama with head counts of each layer's own.
    static let llama = GGUFLayout(
        architecture: "llama", perLayerArchitecture: "deci",
        names: [
            .embedding: "token_embd", .finalNorm: "output_norm", .head: "output", .attentionNorm: "attn_norm", .query: "attn_q",
            .key: "attn_k", .value: "attn_v", .output: "attn_output", .queryNorm: "attn_q_norm", .keyNorm: "attn_k_norm",
            .feedForwardNorm: "ffn_norm", .gate: "ffn_gate", .up: "ffn_up", .down: "ffn_down",
        ])
}
