import Kernels
import Models

/// DeepSeek-V2 without experts: multi-head latent attention in an otherwise Llama-like decoder.
struct DeepSeekFamily: LlamaRelative {
    let modelType = "deepseek_v2"
    let className = "DeepseekV2ForCausalLM"
    let ownKeys: Set<String> = ["kv_lora_rank"]
    let defaultMaxSequence = 2048
    let allowsFeedForwardBias = true

    /// The width of a query: its part without position and its rotated part.
    func headDim(_ file: HuggingFaceConfig, hiddenSize: Int, heads: Int) throws(ImportError) -> Int {
        let (width, overflow) = try file.positive("qk_nope_head_dim", default: 128).addingReportingOverflow(
            try file.positive("qk_rope_head_dim", default: 64))
        guard !overflow else {
            throw file.wrong("qk_nope_head_dim", file.json["qk_nope_head_dim"] ?? .null, "a head's width")
        }
        return width
    }

    func addParts(_ file: HuggingFaceConfig, to config: inout ModelConfig) throws(ImportError) {
        try file.refuse("attention_bias")
        try file.refuseWindows(layers: config.layers)
        // An absent key is not null: transformers takes 1536.
        guard file.json.has("q_lora_rank"), file.json["q_lora_rank"] == nil else {
            let found = file.json["q_lora_rank"]?.text ?? "absent, which is 1536"
            throw .unsupported(path: file.path, key: "q_lora_rank", found: found, supported: "null")
        }
        let dense = try file.optional("first_k_dense_replace", from: 0) ?? 0
        guard dense >= config.layers else {
            throw .unsupported(
                path: file.path, key: "first_k_dense_replace", found: "\(dense) of \(config.layers) layers",
                supported: "\(config.layers), no experts")
        }
        for key in ["rope_scaling", "rope_parameters"] {
            if let value = file.json[key]?["mscale_all_dim"], value.double != 0 {
                throw file.unsupported(key + ".mscale_all_dim", value, "0")
            }
        }
        config.latent = LatentShape(
            rank: try file.positive("kv_lora_rank", default: 512),
            ropeHeadDim: try file.positive("qk_rope_head_dim", default: 64),
            valueHeadDim: try file.positive("v_head_dim", default: 128))
    }

    func claims(_ config: ModelConfig) -> Bool { config.latent != nil }

    func check(_ config: ModelConfig) throws(ImportError) {
        let heads = config.heads[0]
        guard config.hiddenSize % heads == 0 else {
            throw .notExpressible(
                reason: "DeepSeek-V2's hidden size is a multiple of its heads; \(config.hiddenSize) is none of \(heads)")
        }
        if config.latent?.ropeHeadDim == 0 {
            throw .notExpressible(reason: "DeepSeek-V2 rotates a part of each key, and this model none")
        }
        if config.hasQueryKeyValueBias == true || config.hasOutputBias == true {
            throw .notExpressible(
                reason: "DeepSeek-V2 gives queries no bias, and what it caches one only together with the output")
        }
        if config.hasLayerNorm == true || config.activation != nil || config.hasParallelResidual == true {
            throw .notExpressible(
                reason: "DeepSeek-V2 has RMSNorm, a gated feed-forward layer and no parallel residual, which this model has not")
        }
    }

    func prepared(_ checkpoint: Checkpoint, elementType: ElementType?) throws(ImportError) -> Checkpoint {
        try NormedLatent.model(checkpoint, elementType: elementType)
    }

    func partMembers(_ config: ModelConfig) -> [(String, String)] {
        guard let shape = config.latent else { return [] }
        return [
            ("attention_bias", "false"), ("first_k_dense_replace", "\(config.layers)"), ("kv_lora_rank", "\(shape.rank)"),
            ("mlp_bias", "\(config.hasFeedForwardBias == true)"), ("q_lora_rank", "null"),
            ("qk_nope_head_dim", "\(config.headDim[0] - shape.ropeHeadDim)"), ("qk_rope_head_dim", "\(shape.ropeHeadDim)"),
            ("v_head_dim", "\(shape.valueHeadDim)"),
        ]
    }

    /// DeepSeek-V2 rotates neighbours (2i, 2i + 1), kvlab (i, i + ropeHeadDim/2).
    func place(_ name: WeightName, shape: [Int], _ config: ModelConfig) -> StoredWeight {
        var place = StoredWeight(name: "\(name)", shape: shape)
        guard let latent = config.latent, !name.isBias else { return place }
        let rope = latent.ropeHeadDim
        /// The rows of a part without position, then of a rotated part.
        func rows(from start: Int, plain: Int) -> [Range<Int>] {
            let rotated = start + plain
            return [start..<rotated]
                + (0..<rope).map { index in
                    let row = rotated + (index < rope / 2 ? 2 * index : 2 * (index - rope / 2) + 1)
                    return row..<row + 1
                }
        }
        if name.module == .query {
            let d = config.headDim[0]
            place.rows = (0..<shape[0] / d).flatMap { rows(from: $0 * d, plain: d - rope) }
        } else if name.module == .compress {
            place.rows = rows(from: 0, plain: latent.rank)
        }
        return place
    }
}

/// The form with normed latents of a model without, as conversion makes it.
///
/// DeepSeek-V2 norms the latent c to g·c/√(mean c² + ε). With the latent scaled down until mean c² vanishes beside ε, and the
/// gain √ε over that scale, the norm is the identity: the relative error is mean(c²)·2⁻⁶⁰/2ε, below a rounding for latents of
/// up to a hundred thousand.
struct NormedLatent {
    /// The factor on the latent's rows: a power of two, which is exact.
    static let scale: Float = 0x1p-30

    /// The checkpoint with an identity norm added; unchanged if its latents are normed.
    ///
    /// Throws ``ImportError`` for float16, whose range is too narrow for the scale.
    static func model(_ checkpoint: Checkpoint, elementType: ElementType?) throws(ImportError) -> Checkpoint {
        guard let shape = checkpoint.config.latent, !shape.isNormed else { return checkpoint }
        var result = checkpoint
        result.config.latent = LatentShape(rank: shape.rank, ropeHeadDim: shape.ropeHeadDim, valueHeadDim: shape.valueHeadDim)
        let gain = Float(LatentShape.normEpsilon).squareRoot() / scale
        for layer in 0..<checkpoint.config.layers {
            let compress = WeightName(.compress, layer: layer)
            guard let weight = checkpoint.parameters[compress] else { continue }
            guard (elementType ?? weight.elementType) != .float16 else {
                throw .notExpressible(
                    reason: "its latents have no norm, and float16 is too narrow to undo DeepSeek-V2's; write float32 or bfloat16"
                )
            }
            result.parameters[compress] = scaled(weight, rows: shape.rank)
            result.parameters[WeightName(.latentNorm, layer: layer)] = Weight(
                shape: [shape.rank], storage: Storage(repeating: gain, count: shape.rank))
        }
        return result
    }

    /// `weight` with its first `rows` rows scaled.
    private static func scaled(_ weight: Weight, rows: Int) -> Weight {
        Weight(elementType: .float32, shape: weight.shape) {
            var values = weight.float32().array()
            for index in 0..<rows * weight.shape[1] { values[index] *= scale }
            return unsafe values.withUnsafeBytes { unsafe [UInt8]($0) }
        }
    }
}
