/// How GGUF calls the weights of the Llama architecture. Source: llama.cpp, `gguf-py/gguf/tensor_mapping.py`.
enum GGUFNames {
    private static let model = [
        "model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    ]
    private static let block = [
        "input_layernorm": "attn_norm", "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output", "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
        "post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    ]

    /// GGUF's name of the weight that Hugging Face calls `name`, and its layer.
    static func gguf(_ name: String) -> (name: String, layer: Int?)? {
        if let name = model[name] { return (name, nil) }
        let parts = name.split(separator: ".", maxSplits: 3).map(String.init)
        guard parts.count == 4, parts[0] == "model", parts[1] == "layers", let layer = Int(parts[2]),
            let dot = parts[3].lastIndex(of: "."), let own = block[String(parts[3][..<dot])]
        else { return nil }
        return ("blk.\(layer).\(own)\(parts[3][dot...])", layer)
    }

    /// Whether RoPE turns the rows of this weight in pairs.
    static func isRotated(_ name: String) -> Bool { name.contains(".q_proj.") || name.contains(".k_proj.") }
}
