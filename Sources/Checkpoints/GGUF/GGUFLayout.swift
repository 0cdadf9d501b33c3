import Models

/// The GGUF form of models, llama.cpp's llama architecture: its names of the weights.
///
/// Source: llama.cpp, `gguf-py/gguf/tensor_mapping.py`.
enum GGUFLayout {
    /// The architecture of models whose layers have the same numbers of heads.
    static let architecture = "llama"
    /// The architecture of models whose layers have different numbers of heads: llama with head counts of each layer's own.
    static let perLayerArchitecture = "deci"
    /// The names of the modules; a layer's follow "blk.N.".
    private static let names: [WeightName.Module: String] = [
        .embedding: "token_embd", .finalNorm: "output_norm", .head: "output", .attentionNorm: "attn_norm", .query: "attn_q",
        .key: "attn_k", .value: "attn_v", .output: "attn_output", .queryNorm: "attn_q_norm", .keyNorm: "attn_k_norm",
        .feedForwardNorm: "ffn_norm", .gate: "ffn_gate", .up: "ffn_up", .down: "ffn_down",
    ]

    /// The name of a weight; nil where the architecture has no such module.
    static func name(of weight: WeightName) -> String? { names[weight.module].map { weight.stored($0, layers: "blk") } }
}
