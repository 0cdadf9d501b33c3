import JSON
import Models

/// GPT-NeoX (Black et al. 2022; Pythia): partial rotary positions, a feed-forward layer in parallel to attention.
struct GPTNeoXFamily: GPTRelative {
    let modelType = "gpt_neox"
    let className = "GPTNeoXForCausalLM"
    let ownKeys: Set<String> = ["partial_rotary_factor"]
    let names: [WeightName.Module: String] = [
        .embedding: "embed_in", .finalNorm: "final_layer_norm", .query: "attention.query_key_value",
        .key: "attention.query_key_value", .value: "attention.query_key_value", .output: "attention.dense",
        .up: "mlp.dense_h_to_4h", .down: "mlp.dense_4h_to_h",
    ]

    func modelConfig(_ file: HuggingFaceConfig) throws(ImportError) -> ModelConfig {
        var config = try file.gptConfig(
            GPTKeys(
                hidden: "hidden_size", heads: "num_attention_heads", feedForward: "intermediate_size",
                layers: "num_hidden_layers", positions: "max_position_embeddings", epsilon: "layer_norm_eps",
                activation: "hidden_act"),
            maxSequence: 2048, activation: .gelu, isTied: false)
        if try file.flag("attention_bias") == false { (config.hasQueryKeyValueBias, config.hasOutputBias) = (nil, nil) }
        if try file.flag("use_parallel_residual") ?? true { config.hasParallelResidual = true }
        try addPositions(file, to: &config)
        return config
    }

    private func addPositions(_ file: HuggingFaceConfig, to config: inout ModelConfig) throws(ImportError) {
        var factor = try file.number("rotary_pct", default: 0.25)
        if let (key, settings) = try file.ropeSettings(), let value = settings["partial_rotary_factor"] {
            guard let number = value.double else { throw file.wrong(key + ".partial_rotary_factor", value, "a number") }
            factor = number
        }
        guard factor >= 0, factor <= 1 else {
            throw .wrongValue(path: file.path, key: "rotary_pct", found: "\(factor)", expected: "a share from 0 to 1")
        }
        config.ropeTheta = try file.ropeTheta("rotary_emb_base")
        // Other families' keys, which transformers passes over here.
        for (key, value, own) in [
            ("rope_theta", config.ropeTheta, "rotary_emb_base"), ("partial_rotary_factor", factor, "rotary_pct"),
        ] {
            guard let found = file.json[key], found.double != value else { continue }
            throw file.unsupported(key, found, "GPT-NeoX's own key, \(own)")
        }
        // transformers rounds the width down to an integer, and rotates that many elements in pairs.
        let width = Int(Double(config.headDim[0]) * factor)
        guard width % 2 == 0 else {
            throw .unsupported(
                path: file.path, key: "rotary_pct", found: "\(factor), \(width) of \(config.headDim[0]) elements",
                supported: "a share that gives an even number")
        }
        if width < config.headDim[0] { config.rotaryWidth = width }
        try file.scaleRope(&config)
    }

    func claims(_ config: ModelConfig) -> Bool {
        config.hasLearnedPositions != true && (config.hasLayerNorm == true || config.activation != nil)
    }

    func members(_ config: ModelConfig, padID: Int?) -> [(String, String)] {
        let rotated = Double(config.rotaryDim(0)) / Double(config.headDim[0])
        return [
            ("attention_bias", "\(config.hasQueryKeyValueBias == true)"), ("attention_dropout", "0.0"),
            ("hidden_act", "\"\(config.activation?.rawValue ?? "gelu")\""), ("hidden_dropout", "0.0"),
            ("hidden_size", "\(config.hiddenSize)"), ("intermediate_size", "\(config.feedForwardSize)"),
            ("layer_norm_eps", "\(config.normEpsilon)"), ("max_position_embeddings", "\(config.maxSequence)"),
            ("num_attention_heads", "\(config.heads[0])"), ("num_hidden_layers", "\(config.layers)"),
            ("rope_scaling", config.ropeScaling.json), ("rotary_emb_base", "\(config.ropeTheta)"),
            ("rotary_pct", "\(rotated)"), ("use_parallel_residual", "\(config.hasParallelResidual == true)"),
        ]
    }

    func place(_ name: WeightName, shape: [Int], _ config: ModelConfig) -> StoredWeight {
        if name.module == .head { return StoredWeight(name: "embed_out.weight", shape: shape) }
        var place = joinedPlace(name, shape: shape, config, layers: "layers")
        place.name = "gpt_neox." + place.name
        return place
    }

    /// Queries, keys and values head by head.
    func rows(part: Int, of count: Int, _ config: ModelConfig) -> [Range<Int>] {
        let d = config.headDim[0]
        return (0..<count / d).map { (3 * $0 + part) * d..<(3 * $0 + part + 1) * d }
    }

    func isBuffer(_ name: String) -> Bool {
        [".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"].contains { name.hasSuffix($0) }
    }
}
