import Kernels

/// The serving form of grouped-query attention: all input projections in one product.
struct ServingGroupedQueryAttention: ServingAttention {
    private let projections: PackedLinear
    let output: PackedLinear
    private let rotary: RotaryTable?
    private let heads: Int
    private let headDim: Int
    private let geometry: KVGeometry
    /// Concatenated biases of queries, keys and values, where the model has them.
    private let bias: Storage?
    let outputBias: Storage?
    /// QK-norm gains, where the model has them.
    private let headNorms: [Storage]
    private let epsilon: Float

    init(_ weights: GroupedQueryWeights<Weight>, _ config: ModelConfig, layer: Int, rotary: RotaryTable?) {
        geometry = config.kvGeometry(.float32)[layer]
        (heads, headDim, epsilon) = (config.heads[layer], config.headDim[layer], Float(config.normEpsilon))
        self.rotary = rotary
        projections = PackedLinear(weights.inputs)
        output = PackedLinear([weights.output])
        (bias, outputBias) = (weights.biases.joined, weights.outputBias?.float32())
        headNorms = weights.headNorms.map { $0.float32() }
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
}
