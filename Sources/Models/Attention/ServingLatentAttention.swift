import Kernels

/// The serving form of latent attention, with absorbed expanding weights (DeepSeek-AI 2024, DeepSeek-V2, section 2.1.2): a query
/// is projected to the latent space and attends to latents there, and its head's output is projected from there to a value.
struct ServingLatentAttention: ServingAttention {
    private let projections: PackedLinear
    let output: PackedLinear
    /// Concatenated biases of queries and of latent and rotated key, where the model has them.
    private let bias: Storage?
    let outputBias: Storage?
    /// Gain of the latent's norm, where it has one.
    private let latentNorm: Storage?
    /// The absorbed projections of each head: from the query without position to the latent space, and from the latent space to
    /// values.
    private let absorbQuery: PackedHeads
    private let expandValue: PackedHeads
    private let shape: LatentShape
    /// Rotation of the rotated part; nil where it is absent.
    private let rotary: RotaryTable?
    private let heads: Int
    private let headDim: Int
    private let geometry: KVGeometry

    init(_ weights: LatentWeights<Weight>, _ config: ModelConfig, layer: Int, rotary: RotaryTable?) {
        (shape, self.rotary) = (weights.shape, rotary)
        geometry = config.kvGeometry(.float32)[layer]
        (heads, headDim) = (config.heads[layer], config.headDim[layer])
        projections = PackedLinear(weights.inputs)
        latentNorm = weights.latentNorm?.float32()
        let plain = headDim - shape.ropeHeadDim
        absorbQuery = PackedHeads(weights.expand, heads: heads, part: 0..<plain, isTransposed: true)
        expandValue = PackedHeads(
            weights.expand, heads: heads, part: plain..<plain + shape.valueHeadDim, isTransposed: false)
        output = PackedLinear([weights.output])
        (bias, outputBias) = (weights.biases.joined, weights.outputBias?.float32())
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
}
