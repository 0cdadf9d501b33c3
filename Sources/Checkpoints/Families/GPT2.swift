import Models

/// GPT-2 (Radford et al. 2019): learned positions, biases everywhere, matrices stored as [in, out].
struct GPT2Family: GPTRelative {
    let modelType = "gpt2"
    let className = "GPT2LMHeadModel"
    let ownKeys: Set<String> = ["partial_rotary_factor"]
    let optionalPrefix = "transformer."
    let names: [WeightName.Module: String] = [
        .embedding: "wte", .positions: "wpe", .finalNorm: "ln_f", .attentionNorm: "ln_1", .feedForwardNorm: "ln_2",
        .query: "attn.c_attn", .key: "attn.c_attn", .value: "attn.c_attn", .output: "attn.c_proj", .up: "mlp.c_fc",
        .down: "mlp.c_proj",
    ]

    func modelConfig(_ file: HuggingFaceConfig) throws(ImportError) -> ModelConfig {
        var config = try file.gptConfig(
            GPTKeys(
                hidden: "n_embd", heads: "n_head", feedForward: "n_inner", layers: "n_layer", positions: "n_positions",
                epsilon: "layer_norm_epsilon", activation: "activation_function"),
            maxSequence: 1024, activation: .geluTanh, isTied: true, feedForwardFactor: 4)
        for (key, only) in [("scale_attn_weights", true), ("scale_attn_by_inverse_layer_idx", false)] {
            if let value = try file.flag(key), value != only { throw file.unsupported(key, file.json[key], "\(only)") }
        }
        (config.hasLearnedPositions, config.rotaryWidth) = (true, 0)
        return config
    }

    func claims(_ config: ModelConfig) -> Bool {
        config.hasLearnedPositions == true && (config.hasLayerNorm == true || config.activation != nil)
    }

    func check(_ config: ModelConfig) throws(ImportError) {
        try checkGPTParts(config)
        guard config.rotaryWidth == 0, config.hasParallelResidual != true, config.hasOutputBias == true, config.ropeScaling == nil
        else { throw .notExpressible(reason: "GPT-2 has biases, no rotary positions and no parallel residual") }
    }

    func members(_ config: ModelConfig, padID: Int?) -> [(String, String)] {
        [
            ("activation_function", "\"\(config.activation?.rawValue ?? "gelu")\""), ("attn_pdrop", "0.0"),
            ("embd_pdrop", "0.0"), ("resid_pdrop", "0.0"), ("layer_norm_epsilon", "\(config.normEpsilon)"),
            ("n_ctx", "\(config.maxSequence)"), ("n_embd", "\(config.hiddenSize)"), ("n_head", "\(config.heads[0])"),
            ("n_inner", "\(config.feedForwardSize)"), ("n_layer", "\(config.layers)"), ("n_positions", "\(config.maxSequence)"),
            ("reorder_and_upcast_attn", "false"), ("scale_attn_by_inverse_layer_idx", "false"), ("scale_attn_weights", "true"),
        ]
    }

    func place(_ name: WeightName, shape: [Int], _ config: ModelConfig) -> StoredWeight {
        if name.module == .head { return StoredWeight(name: "\(name)", shape: shape) }
        var place = joinedPlace(name, shape: shape, config, layers: "h")
        if name.layer != nil, shape.count == 2 {
            place.isTransposed = true
            place.shape.reverse()
        }
        return place
    }

    /// Queries, keys and values one after the other.
    func rows(part: Int, of count: Int, _ config: ModelConfig) -> [Range<Int>] { [part * count..<(part + 1) * count] }

    func isBuffer(_ name: String) -> Bool {
        [".attn.bias", ".attn.masked_bias", ".rotary_emb.inv_freq"].contains { name.hasSuffix($0) }
    }
}
