import Autograd
import Kernels

/// The widths of multi-head latent attention; JSON keys are Hugging Face's (DeepSeek-V2).
public struct LatentShape: Codable, Sendable, Hashable {
    /// Width of the latent that a token's keys and values are made from.
    public var rank: Int
    /// Elements of a head that RoPE turns; the key's are the same for all heads. 0 for none, where positions are learned.
    public var ropeHeadDim: Int
    /// Width of a value's head.
    public var valueHeadDim: Int
    /// Whether the latent goes through an RMSNorm, as DeepSeek-V2's does; nil is true. Converted models have none: what their
    /// latents stand for was not normed.
    public var hasNorm: Bool?

    /// Widths as given, unchecked.
    public init(rank: Int, ropeHeadDim: Int, valueHeadDim: Int, hasNorm: Bool = true) {
        self.rank = rank
        self.ropeHeadDim = ropeHeadDim
        self.valueHeadDim = valueHeadDim
        self.hasNorm = hasNorm ? nil : false
    }

    /// Whether the latent is normed.
    public var isNormed: Bool { hasNorm ?? true }

    /// Epsilon of the latent's norm, as in DeepSeek-V2 whatever the other norms have.
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

    /// The weights of an attention with these widths, named as in transformers' DeepseekV2; `hasBias` gives queries and what is
    /// cached one, `hasOutputBias` the output.
    func weightShapes(
        heads: Int, headDim: Int, hidden: Int, hasBias: Bool, hasOutputBias: Bool
    ) -> [(name: String, shape: [Int])] {
        var shapes = [
            (name: "q_proj.weight", shape: [heads * headDim, hidden]),
            ("kv_a_proj_with_mqa.weight", [rank + ropeHeadDim, hidden]),
        ]
        if isNormed { shapes.append(("kv_a_layernorm.weight", [rank])) }
        shapes += [
            ("kv_b_proj.weight", [heads * (headDim - ropeHeadDim + valueHeadDim), rank]),
            ("o_proj.weight", [hidden, heads * valueHeadDim]),
        ]
        if hasBias { shapes += [("q_proj.bias", [heads * headDim]), ("kv_a_proj_with_mqa.bias", [rank + ropeHeadDim])] }
        if hasOutputBias { shapes.append(("o_proj.bias", [hidden])) }
        return shapes
    }
}

/// Multi-head latent attention (DeepSeek-AI 2024, DeepSeek-V2, arXiv 2405.04434, section 2.1): keys and values of all heads
/// are linear in one normed latent of each token, and position enters by a rotated part of the key that the heads share; where
/// positions are learned there is no such part.
///
/// Keys and values are made for every head; only ``ServingLatentAttention`` keeps latent and rotated part alone.
struct LatentAttention: Attention {
    let heads: Int
    /// Width of a query: its part without position, then its rotated part.
    let headDim: Int
    let shape: LatentShape
    /// Of the rotated part; nil where there is none.
    let rotary: RotaryTable?
    let query: Tensor
    /// To [rank | rotated key].
    let compress: Tensor
    /// Gain of the latent's norm, where it has one.
    let latentNorm: Tensor?
    /// From the latent to each head's [key without position | value].
    let expand: Tensor
    let output: Tensor
    /// Of `query` and `compress`, where the model has biases.
    var biases: [Tensor] = []
    var outputBias: Tensor?

    init(
        config: ModelConfig, layer: Int, rotary: RotaryTable?, take: (String) throws(ParametersError) -> Tensor
    ) throws(ParametersError) {
        guard let shape = config.latent else { preconditionFailure("LatentAttention: the configuration has no latent") }
        (self.shape, self.rotary) = (shape, rotary)
        (heads, headDim) = (config.heads[layer], config.headDim[layer])
        query = try take("q_proj.weight")
        compress = try take("kv_a_proj_with_mqa.weight")
        latentNorm = shape.isNormed ? try take("kv_a_layernorm.weight") : nil
        expand = try take("kv_b_proj.weight")
        output = try take("o_proj.weight")
        if config.hasQueryKeyValueBias == true {
            for name in ["q_proj", "kv_a_proj_with_mqa"] { biases.append(try take(name + ".bias")) }
        }
        if config.hasOutputBias == true { outputBias = try take("o_proj.bias") }
    }

    private init(_ other: LatentAttention, weights rest: inout ArraySlice<Tensor>) {
        (heads, headDim, shape, rotary) = (other.heads, other.headDim, other.shape, other.rotary)
        query = rest.removeFirst()
        compress = rest.removeFirst()
        latentNorm = other.latentNorm.map { _ in rest.removeFirst() }
        expand = rest.removeFirst()
        output = rest.removeFirst()
        biases = other.biases.map { _ in rest.removeFirst() }
        outputBias = other.outputBias.map { _ in rest.removeFirst() }
    }

    var projections: [Tensor] { [query, compress] }
    var sharedProjections: [Tensor] { [] }
    var weights: [Tensor] {
        [query, compress, latentNorm, expand, output].compactMap { $0 } + biases + [outputBias].compactMap { $0 }
    }

    func with(weights rest: inout ArraySlice<Tensor>) -> LatentAttention { LatentAttention(self, weights: &rest) }

    private var plainDim: Int { headDim - shape.ropeHeadDim }
    private var queryWidth: Int { heads * headDim }
    private var scale: Float { 1 / Float(headDim).squareRoot() }

    func preparedShared(_ projected: Tensor) -> Tensor { projected }

    /// Rows of [queries | latent | rotated key] with their biases.
    private func biased(_ projected: Tensor) -> Tensor { biases.isEmpty ? projected : projected + .concat(biases) }

    func attended(_ projected: Tensor, keysAndValues: Tensor?, _ input: ModelInput, _ precision: ComputePrecision) -> Tensor {
        let projected = biased(projected)
        let latent = projected.slice(queryWidth..<queryWidth + shape.rank, axis: 1)
        let expanded =
            latentNorm.map {
                latent.normLinear(gain: $0, weights: [expand], epsilon: LatentShape.normEpsilon, precision: precision)
            } ?? latent.linear(expand, precision: precision)
        let qkv = projected.latentHeads(
            expanded, heads: heads, plainDim: plainDim, rotaryDim: shape.ropeHeadDim, valueDim: shape.valueHeadDim,
            rank: shape.rank)
        return qkv.causalAttention(
            AttentionKernel(
                batch: input.batch, seq: input.seq, heads: heads, kvHeads: heads, headDim: headDim,
                valueDim: shape.valueHeadDim, scale: scale, rotary: rotary, rotaryStart: plainDim, keyStarts: input.keyStarts))
    }
}
