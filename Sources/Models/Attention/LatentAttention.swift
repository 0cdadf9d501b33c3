import Autograd
import Kernels

/// The widths of multi-head latent attention; JSON keys are Hugging Face's (DeepSeek-V2).
public struct LatentShape: Codable, Sendable, Hashable {
    /// Rank: the width of the latent that keys and values are expanded from.
    public var rank: Int
    /// Elements of a head that RoPE rotates; the key's are shared by all heads. 0 for none, where positions are learned.
    public var ropeHeadDim: Int
    /// Width of a value's head.
    public var valueHeadDim: Int
    /// Whether the latent goes through an RMSNorm, as in DeepSeek-V2; nil is true. Converted models have no such norm, as the
    /// parent's keys and values were not normed.
    public var hasNorm: Bool?

    /// A shape, unchecked.
    public init(rank: Int, ropeHeadDim: Int, valueHeadDim: Int, hasNorm: Bool = true) {
        self.rank = rank
        self.ropeHeadDim = ropeHeadDim
        self.valueHeadDim = valueHeadDim
        self.hasNorm = hasNorm ? nil : false
    }

    /// Whether the latent is normed.
    public var isNormed: Bool { hasNorm ?? true }

    /// Epsilon of the latent's norm, as in DeepSeek-V2, independent of the other norms'.
    public static let normEpsilon: Float = 1e-6

    enum CodingKeys: String, CodingKey {
        case rank = "kv_lora_rank"
        case ropeHeadDim = "qk_rope_head_dim"
        case valueHeadDim = "v_head_dim"
        case hasNorm = "kv_a_norm"
    }
}

extension LatentShape: AttentionShape {
    public var part: String { "latent attention" }
    public var label: String { "MLA-\(rank)" }
    public var rotaryDim: Int { ropeHeadDim }
    public var rotaryStart: Int { rank }

    /// One key of all heads a token, the latent and the rotated part; the latent is the value too.
    public func geometry(_ encoding: KVEncoding) -> KVGeometry {
        KVGeometry(kvHeads: 1, keyDim: rank + ropeHeadDim, valueDim: rank, encoding: encoding, valuesAreKeys: true)
    }

    /// The latent, which exists behind its norm too where a cache stores it, the expanded queries, keys and values of all heads,
    /// and their output.
    public func activationsPerToken(heads: Int, headDim: Int, forms: Int, isStored: Bool) -> Int {
        forms * (rank + heads * (2 * headDim + valueHeadDim)) + heads * valueHeadDim + (isStored && isNormed ? rank + 1 : 0)
    }

    public func validate(_ config: ModelConfig) throws(ModelConfigError) {
        for (key, value) in [
            (CodingKeys.rank, rank), (.ropeHeadDim, ropeHeadDim), (.valueHeadDim, valueHeadDim),
        ] {
            guard value >= 1 || key == .ropeHeadDim && value == 0 else { throw .notPositive(key: key.rawValue, value: value) }
            guard value <= 1 << 16 else { throw .tooLarge(key: key.rawValue, value: value, limit: 1 << 16) }
        }
        func misfit(_ reason: String) -> ModelConfigError {
            .attention(key: ModelConfig.CodingKeys.latent.rawValue, reason: reason)
        }
        guard ropeHeadDim % 2 == 0 else { throw misfit("\(ropeHeadDim) rotated elements are odd; RoPE rotates pairs") }
        for layer in 0..<config.layers {
            let (heads, kvHeads, headDim) = (config.heads[layer], config.kvHeads[layer], config.headDim[layer])
            guard headDim > ropeHeadDim else {
                throw misfit("head dim \(headDim) leaves nothing beside \(ropeHeadDim) rotated elements")
            }
            guard kvHeads == heads else {
                throw misfit("every head has its own keys, but layer \(layer) has \(kvHeads) for \(heads)")
            }
        }
        let allowed = [part, ModelConfig.attentionBiasPart, ModelConfig.learnedPositionsPart] + ModelConfig.partsBesideAttention
        for other in config.partsBeyondLlama where !other.hasSuffix("RoPE scaling") && !allowed.contains(other) {
            throw .combination(part, other)
        }
    }
}

extension WeightName.Module {
    /// The projection to the latent and the rotated key.
    public static let compress = Self("self_attn.kv_a_proj_with_mqa")
    /// The norm of the latent.
    public static let latentNorm = Self("self_attn.kv_a_layernorm")
    /// The projection from the latent to each head's keys and values.
    public static let expand = Self("self_attn.kv_b_proj")
}

/// The weights of latent attention, each held as `Value`; named as in transformers' DeepseekV2.
struct LatentWeights<Value> {
    let shape: LatentShape
    /// Projections of queries [heads·headDim, hidden], and to the latent and the rotated key [rank + ropeHeadDim, hidden].
    let inputs: [Value]
    /// Gain [rank] of the latent's norm, where it has one.
    let latentNorm: Value?
    /// The expanding projection from the latent to each head's [key without position | value].
    let expand: Value
    /// The output projection [hidden, heads·valueHeadDim].
    let output: Value
    /// Biases of ``inputs``; empty where the model has none.
    let biases: [Value]
    /// The bias of ``output``; nil for none.
    let outputBias: Value?

    init<Failure>(
        _ config: ModelConfig, _ shape: LatentShape, layer: Int, _ bind: WeightBinding<Value, Failure>
    ) throws(Failure) {
        self.shape = shape
        let (heads, headDim, hidden) = (config.heads[layer], config.headDim[layer], config.hiddenSize)
        let projections = [
            (name: WeightName(.query, layer: layer), width: heads * headDim),
            (name: WeightName(.compress, layer: layer), width: shape.rank + shape.ropeHeadDim),
        ]
        let output = WeightName(.output, layer: layer)
        inputs = try projections.map { (projection) throws(Failure) in try bind(projection.name, [projection.width, hidden]) }
        latentNorm = shape.isNormed ? try bind(WeightName(.latentNorm, layer: layer), [shape.rank]) : nil
        expand = try bind(
            WeightName(.expand, layer: layer), [heads * (headDim - shape.ropeHeadDim + shape.valueHeadDim), shape.rank])
        self.output = try bind(output, [hidden, heads * shape.valueHeadDim])
        let biased = config.hasQueryKeyValueBias == true ? projections : []
        biases = try biased.map { (projection) throws(Failure) in try bind(projection.name.bias, [projection.width]) }
        outputBias = config.hasOutputBias == true ? try bind(output.bias, [hidden]) : nil
    }
}

extension LatentWeights: Sendable where Value: Sendable {}

/// Multi-head latent attention (DeepSeek-AI 2024, DeepSeek-V2, arXiv 2405.04434, section 2.1): keys and values of all heads are
/// linear in one normed latent of each token, and position enters by a rotated part of the key, shared by the heads and absent
/// where positions are learned.
///
/// Keys and values are expanded for every head; only ``ServingLatentAttention`` caches latents and rotated parts instead.
struct LatentAttention: Attention {
    let weights: LatentWeights<Tensor>
    let heads: Int
    /// Width of a query: its part without position and its rotated part.
    let headDim: Int
    /// Rotation of the rotated part; nil where it is absent.
    let rotary: RotaryTable?
    private let layer: Int

    init(_ weights: LatentWeights<Tensor>, _ config: ModelConfig, layer: Int, rotary: RotaryTable?) {
        (self.weights, self.rotary, self.layer) = (weights, rotary, layer)
        (heads, headDim) = (config.heads[layer], config.headDim[layer])
    }

    var projections: [Tensor] { weights.inputs }
    var sharedProjections: [Tensor] { [] }
    var output: Tensor { weights.output }
    var outputBias: Tensor? { weights.outputBias }

    func preparedShared(_ projected: Tensor) -> Tensor { projected }

    func attended(_ projected: Tensor, keysAndValues: Tensor?, _ input: ModelInput, _ precision: ComputePrecision) -> Tensor {
        let shape = weights.shape
        let (queryWidth, plainDim) = (heads * headDim, headDim - shape.ropeHeadDim)
        // Rows of [queries | latent | rotated key].
        let projected = weights.biases.joined.map { projected + $0 } ?? projected
        let latent = projected.slice(queryWidth..<queryWidth + shape.rank, axis: 1)
        let kernel = AttentionKernel(
            batch: input.batch, seq: input.seq, heads: heads, kvHeads: heads, headDim: headDim,
            valueDim: shape.valueHeadDim, scale: 1 / Float(headDim).squareRoot(), rotary: rotary, rotaryStart: plainDim,
            keyStarts: input.keyStarts)
        func qkv(_ rows: Tensor, _ expanded: Tensor) -> Tensor {
            rows.latentHeads(
                expanded, heads: heads, plainDim: plainDim, rotaryDim: shape.ropeHeadDim, valueDim: shape.valueHeadDim,
                rank: shape.rank)
        }
        guard let cache = input.cache else {
            let expanded =
                weights.latentNorm.map {
                    latent.normLinear(gain: $0, weights: [weights.expand], epsilon: LatentShape.normEpsilon, precision: precision)
                } ?? latent.linear(weights.expand, precision: precision)
            return qkv(projected, expanded).causalAttention(kernel)
        }
        // The cache holds the latent as it is expanded, behind its norm.
        let rows =
            weights.latentNorm.map { gain in
                let (before, after) = (projected.slice(0..<queryWidth, axis: 1), queryWidth + shape.rank)
                let normed = latent.rmsNorm(weight: gain, epsilon: LatentShape.normEpsilon)
                return Tensor.concat([before, normed, projected.slice(after..<after + shape.ropeHeadDim, axis: 1)], axis: 1)
            } ?? projected
        let stored = StoredRows(
            cache.encodings[layer], sequences: cache.sequences, rowWidth: rows.shape[1], keys: queryWidth, values: nil,
            kvHeads: 1,
            keyDim: shape.rank + shape.ropeHeadDim, valueDim: shape.rank, rotary: rotary, rotaryStart: shape.rank)
        return cache.attend(kernel, layer: layer) { form in
            let rows = rows.stored(stored, form)
            let latent = rows.slice(queryWidth..<queryWidth + shape.rank, axis: 1)
            return qkv(rows, latent.linear(weights.expand, precision: precision))
        }
    }
}

/// Latent attention in every layer, of a given shape.
public struct LatentDesign: AttentionDesign {
    public static let name = "mla"
    public static let summary = "multi-head latent attention, one latent for the keys and values of all heads"
    public static let settings: [DesignSetting] = [
        .integer(
            "rank", 1...(1 << 16), isRequired: true, help: "elements of the latent that keys and values are made from",
            example: 32),
        .integer(
            "ropeHeadDim", 1...(1 << 16), isRequired: true, help: "elements of a head that RoPE turns, out of its headDim",
            example: 16),
        .integer("valueHeadDim", 1...(1 << 16), help: "width of a value's head; headDim unless said", example: 32),
        DesignSetting("norm", .flag, help: "the latent goes through no norm"),
    ]
    public static let keepsHeads = false
    /// Its widths.
    public var shape: LatentShape
    public var label: String { "mla-r\(shape.rank)" }

    /// Latent attention of these widths.
    public init(shape: LatentShape) { self.shape = shape }

    public init(_ settings: DesignSettings, headDim: Int) {
        shape = LatentShape(
            rank: settings["rank"] ?? 0, ropeHeadDim: settings["ropeHeadDim"] ?? 0,
            valueHeadDim: settings["valueHeadDim"] ?? headDim, hasNorm: settings.isOn("norm"))
    }

    public func configure(_ config: inout ModelConfig) throws(ModelConfigError) {
        config.latent = shape
        config.kvHeads = config.heads
    }
}
