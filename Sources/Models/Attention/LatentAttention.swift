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

    func validate() throws(ModelConfigError) {
        for (key, value) in [
            (CodingKeys.rank, rank), (.ropeHeadDim, ropeHeadDim), (.valueHeadDim, valueHeadDim),
        ] {
            guard value >= 1 || key == .ropeHeadDim && value == 0 else { throw .notPositive(key: key.rawValue, value: value) }
            guard value <= 1 << 16 else { throw .tooLarge(key: key.rawValue, value: value, limit: 1 << 16) }
        }
        guard ropeHeadDim % 2 == 0 else { throw .latent("\(ropeHeadDim) rotated elements are odd; RoPE rotates pairs") }
    }
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

    init(_ weights: LatentWeights<Tensor>, _ config: ModelConfig, layer: Int, rotary: RotaryTable?) {
        (self.weights, self.rotary) = (weights, rotary)
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
        let expanded =
            weights.latentNorm.map {
                latent.normLinear(gain: $0, weights: [weights.expand], epsilon: LatentShape.normEpsilon, precision: precision)
            } ?? latent.linear(weights.expand, precision: precision)
        let qkv = projected.latentHeads(
            expanded, heads: heads, plainDim: plainDim, rotaryDim: shape.ropeHeadDim, valueDim: shape.valueHeadDim,
            rank: shape.rank)
        return qkv.causalAttention(
            AttentionKernel(
                batch: input.batch, seq: input.seq, heads: heads, kvHeads: heads, headDim: headDim,
                valueDim: shape.valueHeadDim, scale: 1 / Float(headDim).squareRoot(), rotary: rotary, rotaryStart: plainDim,
                keyStarts: input.keyStarts))
    }
}
