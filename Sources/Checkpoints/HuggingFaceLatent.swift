import Kernels
import Models

/// DeepSeek-V2 without experts: multi-head latent attention in an otherwise Llama-like decoder.
extension HuggingFaceConfig {
    /// The widths of latent attention; throws what kvlab doesn't compute.
    func latentShape() throws(ImportError) -> LatentShape {
        if let rank = json["q_lora_rank"] {
            throw .unsupported(path: path, key: "q_lora_rank", found: rank.text, supported: "null")
        }
        // An absent key is not null: transformers takes 1536.
        guard json.has("q_lora_rank") else {
            throw .unsupported(path: path, key: "q_lora_rank", found: "absent, which is 1536", supported: "null")
        }
        let layers = try positive("num_hidden_layers")
        let dense = try optional("first_k_dense_replace", from: 0) ?? 0
        guard dense >= layers else {
            throw .unsupported(
                path: path, key: "first_k_dense_replace", found: "\(dense) of \(layers) layers",
                supported: "\(layers), no experts")
        }
        for key in ["rope_scaling", "rope_parameters"] {
            if let value = json[key]?["mscale_all_dim"], value.double != 0 {
                throw .unsupported(path: path, key: key + ".mscale_all_dim", found: value.text, supported: "0")
            }
        }
        return LatentShape(
            rank: try positive("kv_lora_rank", default: 512), ropeHeadDim: try positive("qk_rope_head_dim", default: 64),
            valueHeadDim: try positive("v_head_dim", default: 128))
    }

    /// Width of a query: its part without position and its rotated one.
    func latentHeadDim() throws(ImportError) -> Int {
        let (width, overflow) = try positive("qk_nope_head_dim", default: 128).addingReportingOverflow(
            try positive("qk_rope_head_dim", default: 64))
        guard !overflow else {
            throw .wrongValue(
                path: path, key: "qk_nope_head_dim", found: json["qk_nope_head_dim"]?.text ?? "", expected: "a head's width")
        }
        return width
    }
}

extension HuggingFaceExportConfig {
    /// Throws what keeps a model with latent attention from being a DeepSeek-V2.
    func refuseLatent() throws(ImportError) {
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

    /// What `config.json` says of latent attention beside the sizes that all families have.
    func latentMembers(_ shape: LatentShape) -> [(String, String)] {
        [
            ("attention_bias", "false"), ("first_k_dense_replace", "\(config.layers)"), ("kv_lora_rank", "\(shape.rank)"),
            ("mlp_bias", "\(config.hasFeedForwardBias == true)"), ("q_lora_rank", "null"),
            ("qk_nope_head_dim", "\(config.headDim[0] - shape.ropeHeadDim)"), ("qk_rope_head_dim", "\(shape.ropeHeadDim)"),
            ("v_head_dim", "\(shape.valueHeadDim)"),
        ]
    }
}

/// A model whose latents are not normed, as conversion makes it, in the form of one whose latents are.
///
/// DeepSeek-V2 norms the latent c to g·c/√(mean c² + ε). Scaled down until mean c² is nothing beside ε, and with the gain
/// √ε over that scale, the norm returns what it got: the relative error is mean(c²)·2⁻⁶⁰/2ε, below a rounding for
/// latents of up to a hundred thousand.
struct NormedLatent {
    /// The factor on the latent's rows: a power of two, so that they are not rounded.
    static let scale: Float = 0x1p-30

    /// `checkpoint` with a norm that changes nothing; as it is where it has no latent or a norm already.
    ///
    /// Throws ``ImportError`` for float16, whose range is too narrow for the scale.
    static func model(_ checkpoint: Checkpoint, elementType: ElementType?) throws(ImportError) -> Checkpoint {
        guard let shape = checkpoint.config.latent, !shape.isNormed else { return checkpoint }
        var result = checkpoint
        result.config.latent = LatentShape(rank: shape.rank, ropeHeadDim: shape.ropeHeadDim, valueHeadDim: shape.valueHeadDim)
        result.parameters = Parameters()
        for name in checkpoint.parameters.names {
            guard let weight = checkpoint.parameters[name] else { continue }
            guard let prefix = name.stem(before: "kv_a_proj_with_mqa.weight") else {
                result.parameters[name] = weight
                continue
            }
            guard (elementType ?? weight.elementType) != .float16 else {
                throw .notExpressible(
                    reason: "its latents have no norm, and float16 is too narrow to undo DeepSeek-V2's; write float32 or bfloat16"
                )
            }
            result.parameters[name] = scaled(weight, rows: shape.rank)
            let gain = Float(LatentShape.normEpsilon).squareRoot() / scale
            result.parameters[prefix + "kv_a_layernorm.weight"] = Weight(
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

extension String {
    /// What comes before `ending`, where the string ends with it.
    fileprivate func stem(before ending: String) -> String? {
        hasSuffix(ending) ? String(dropLast(ending.count)) : nil
    }
}

extension HuggingFaceLayout {
    /// The place of a latent attention's weight: DeepSeek-V2 rotates neighbours (2i, 2i + 1), kvlab (i, i + ropeHeadDim/2).
    static func latentPlace(_ name: String, shape: [Int], _ config: ModelConfig) -> StoredWeight {
        var place = StoredWeight(name: name, shape: shape)
        guard let latent = config.latent, shape.count == 2 else { return place }
        let rope = latent.ropeHeadDim
        /// Rows of a part without position, then of a rotated one.
        func rows(from start: Int, plain: Int) -> [Range<Int>] {
            let rotated = start + plain
            return [start..<rotated]
                + (0..<rope).map { index in
                    let row = rotated + (index < rope / 2 ? 2 * index : 2 * (index - rope / 2) + 1)
                    return row..<row + 1
                }
        }
        if name.hasSuffix(".self_attn.q_proj.weight") {
            let d = config.headDim[0]
            place.rows = (0..<shape[0] / d).flatMap { rows(from: $0 * d, plain: d - rope) }
        } else if name.hasSuffix(".self_attn.kv_a_proj_with_mqa.weight") {
            place.rows = rows(from: 0, plain: latent.rank)
        }
        return place
    }
}
