import Kernels

/// One layer's attention made ready for serving.
protocol ServingAttention: Sendable {
    /// Bytes of its packed weights.
    var weightBytes: Int { get }
    /// Width of ``attend(_:_:_:layer:cache:)``'s rows.
    var outputWidth: Int { get }
    /// How the weights are kept that normed rows are multiplied with.
    var elementType: ElementType { get }
    /// Normed rows of the hidden size, one a token, at `positions` to [tokens, outputWidth], over what `cache` holds.
    func attend(_ x: PackedRows, _ step: RaggedBatch, _ positions: [Int32], layer: Int, cache: inout some KVCache) -> Storage
    /// Adds the output projection of `attended` [rows, outputWidth] to x [rows, hidden].
    func project(_ attended: Storage, rows: Int, into x: Storage)
}

extension ServingModel {
    /// The attention that `config` gives `layer`, its weights by their names behind "self_attn.".
    static func attention(
        _ config: ModelConfig, layer: Int, rotary: RotaryTable?, take: (String) throws(ParametersError) -> Weight
    ) throws(ParametersError) -> any ServingAttention {
        guard let latent = config.latent else {
            return try ServingGroupedAttention(config, layer: layer, rotary: rotary, take: take)
        }
        return try ServingLatentAttention(config, latent, layer: layer, rotary: rotary, take: take)
    }
}

/// Grouped-query attention: all projections one product.
struct ServingGroupedAttention: ServingAttention {
    private let projections: PackedLinear
    private let output: PackedLinear
    private let rotary: RotaryTable?
    private let heads: Int
    private let headDim: Int
    private let geometry: KVGeometry
    /// Of queries, keys and values side by side, where the model has biases.
    private var bias: Storage?
    private var outputBias: Storage?
    /// Gains of the norms of queries and keys, where the model has them.
    private var headNorms: [Storage] = []
    private let epsilon: Float

    init(
        _ config: ModelConfig, layer: Int, rotary: RotaryTable?, take: (String) throws(ParametersError) -> Weight
    ) throws(ParametersError) {
        geometry = config.kvGeometry(.float32)[layer]
        (heads, headDim, epsilon) = (config.heads[layer], config.headDim[layer], Float(config.normEpsilon))
        self.rotary = rotary
        let names = geometry.source == nil ? ["q_proj", "k_proj", "v_proj"] : ["q_proj"]
        var weights: [Weight] = []
        for name in names { weights.append(try take(name + ".weight")) }
        projections = PackedLinear(weights)
        output = PackedLinear([try take("o_proj.weight")])
        if config.hasQueryKeyValueBias == true {
            var values: [Float] = []
            for name in names { values += try take(name + ".bias").float32().array() }
            bias = Storage(copying: values)
        }
        if config.hasOutputBias == true { outputBias = try take("o_proj.bias").float32() }
        if config.hasQueryKeyNorm == true {
            for name in geometry.source == nil ? ["q_norm", "k_norm"] : ["q_norm"] {
                headNorms.append(try take(name + ".weight").float32())
            }
        }
    }

    var weightBytes: Int { projections.byteCount + output.byteCount }
    var outputWidth: Int { heads * headDim }
    var elementType: ElementType { projections.elementType }

    func attend(_ x: PackedRows, _ step: RaggedBatch, _ positions: [Int32], layer: Int, cache: inout some KVCache) -> Storage {
        let count = step.tokens.count
        let kvHeads = geometry.source == nil ? geometry.kvHeads : 0
        let width = (heads + 2 * kvHeads) * headDim
        let rows = Storage(count: count * width)
        projections.run(x, into: rows)
        if let bias { RowWise.add(bias, to: rows, rows: count) }
        for (gain, part) in zip(headNorms, [(first: 0, heads: heads), (first: heads, heads: kvHeads)]) {
            RowWise.normHeads(
                rows, gain: gain, rows: count, stride: width, offset: part.first * headDim, heads: part.heads, epsilon: epsilon)
        }
        rotary?.rotate(rows, positions: positions, rows: count, stride: width, heads: heads + kvHeads, headDim: headDim)
        return cache.attend(layer: layer, CachedQueries(rows: rows, heads: heads, geometry: geometry), step).output
    }

    func project(_ attended: Storage, rows: Int, into x: Storage) {
        output.run(attended, rows: rows, into: x, .add)
        if let outputBias { RowWise.add(outputBias, to: x, rows: rows) }
    }
}

/// Latent attention with the expanding weights absorbed (DeepSeek-AI 2024, DeepSeek-V2, section 2.1.2): a query is carried
/// into the latent's space, attends there, and its head's output is carried out of it.
struct ServingLatentAttention: ServingAttention {
    private let projections: PackedLinear
    private let output: PackedLinear
    /// Of queries and what is cached side by side, where the model has biases.
    private var bias: Storage?
    private var outputBias: Storage?
    /// Gain of the latent's norm, where it has one.
    private let latentNorm: Storage?
    /// From each head's query without position to the latent's space, and from what it attended there to its value.
    private let absorbQuery: PackedHeads
    private let expandValue: PackedHeads
    private let shape: LatentShape
    /// Of the rotated part; nil where there is none.
    private let rotary: RotaryTable?
    private let heads: Int
    private let headDim: Int
    private let geometry: KVGeometry

    init(
        _ config: ModelConfig, _ shape: LatentShape, layer: Int, rotary: RotaryTable?,
        take: (String) throws(ParametersError) -> Weight
    ) throws(ParametersError) {
        (self.shape, self.rotary) = (shape, rotary)
        geometry = config.kvGeometry(.float32)[layer]
        (heads, headDim) = (config.heads[layer], config.headDim[layer])
        projections = PackedLinear([try take("q_proj.weight"), try take("kv_a_proj_with_mqa.weight")])
        latentNorm = shape.isNormed ? try take("kv_a_layernorm.weight").float32() : nil
        let expand = try take("kv_b_proj.weight")
        let plain = headDim - shape.ropeHeadDim
        absorbQuery = PackedHeads(expand, heads: heads, part: 0..<plain, isTransposed: true)
        expandValue = PackedHeads(expand, heads: heads, part: plain..<plain + shape.valueHeadDim, isTransposed: false)
        output = PackedLinear([try take("o_proj.weight")])
        if config.hasQueryKeyValueBias == true {
            var values: [Float] = []
            for name in ["q_proj", "kv_a_proj_with_mqa"] { values += try take(name + ".bias").float32().array() }
            bias = Storage(copying: values)
        }
        if config.hasOutputBias == true { outputBias = try take("o_proj.bias").float32() }
    }

    var weightBytes: Int { projections.byteCount + output.byteCount + absorbQuery.byteCount + expandValue.byteCount }
    var outputWidth: Int { heads * shape.valueHeadDim }
    var elementType: ElementType { projections.elementType }
    private var plainDim: Int { headDim - shape.ropeHeadDim }

    func attend(_ x: PackedRows, _ step: RaggedBatch, _ positions: [Int32], layer: Int, cache: inout some KVCache) -> Storage {
        let (count, rank, rope) = (step.tokens.count, shape.rank, shape.ropeHeadDim)
        let (queryWidth, wide) = (heads * headDim, rank + rope)
        let projectedWidth = queryWidth + wide
        let projected = Storage(count: count * projectedWidth)
        projections.run(x, into: projected)
        if let bias { RowWise.add(bias, to: projected, rows: count) }
        // Rows of heads + 1 vectors [latent | rotated]: the queries', then the key's.
        let width = (heads + 1) * wide
        let rows = Storage(count: count * width)
        absorbQuery.run(
            .init(projected, rowStride: projectedWidth, headStride: headDim), rows: count,
            into: .init(rows, rowStride: width, headStride: wide))
        StridedCopy.copy(
            .init(projected, offset: plainDim, strides: [projectedWidth, headDim, 1]),
            to: .init(rows, offset: rank, strides: [width, wide, 1]), extents: [count, heads, rope])
        StridedCopy.copy(
            .init(projected, offset: queryWidth + rank, strides: [projectedWidth, 1]),
            to: .init(rows, offset: heads * wide + rank, strides: [width, 1]), extents: [count, rope])
        var latent = Storage(count: count * rank)
        StridedCopy.copy(
            .init(projected, offset: queryWidth, strides: [projectedWidth, 1]), to: .init(latent, strides: [rank, 1]),
            extents: [count, rank])
        if let latentNorm {
            let normed = Storage(count: count * rank)
            Normalization.rmsNorm(
                x: latent, weight: latentNorm, into: normed, rstd: Storage(count: count), rows: count, width: rank,
                epsilon: LatentShape.normEpsilon)
            latent = normed
        }
        StridedCopy.copy(
            .init(latent, strides: [rank, 1]), to: .init(rows, offset: heads * wide, strides: [width, 1]),
            extents: [count, rank])
        rotary?.rotate(rows, positions: positions, rows: count, stride: width, heads: heads + 1, headDim: wide, start: rank)
        let queries = CachedQueries(
            rows: rows, heads: heads, geometry: geometry, scale: 1 / Float(headDim).squareRoot())
        let attended = cache.attend(layer: layer, queries, step).output
        let values = Storage(count: count * outputWidth)
        expandValue.run(
            .init(attended, rowStride: heads * rank, headStride: rank), rows: count,
            into: .init(values, rowStride: outputWidth, headStride: shape.valueHeadDim))
        return values
    }

    func project(_ attended: Storage, rows: Int, into x: Storage) {
        output.run(attended, rows: rows, into: x, .add)
        if let outputBias { RowWise.add(outputBias, to: x, rows: rows) }
    }
}
