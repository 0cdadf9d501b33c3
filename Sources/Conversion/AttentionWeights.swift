import Kernels
import Models

/// One layer's four attention matrices in Float64; a weight [out, in] has a row for each output.
///
/// Biases of queries, keys and values are a last column of these matrices, as if the input had a last element that is always 1.
public struct AttentionWeights: Sendable, Equatable {
    /// Query heads.
    public var heads: Int
    /// Key and value heads.
    public var kvHeads: Int
    /// Width of a head.
    public var headDim: Int
    /// Rows of each head that RoPE turns, the first ones.
    public var rotaryDim: Int
    /// Whether queries, keys and values have biases: their matrices have hidden + 1 columns then.
    public var hasBias: Bool
    /// [heads·headDim, hidden].
    public var query: DenseMatrix
    /// [kvHeads·headDim, hidden].
    public var key: DenseMatrix
    /// [kvHeads·headDim, hidden].
    public var value: DenseMatrix
    /// [hidden, heads·headDim].
    public var output: DenseMatrix
    /// Under QK-norm, whether a turn of each RoPE plane of keys and queries passes through their norms: both of its gains are equal, in
    /// either norm. nil without QK-norm, where every plane may be turned and scaled.
    public var turnable: [Bool]?
    /// Under QK-norm the gains [headDim] of queries and of keys; else empty.
    public var gains: [[Double]] = []

    /// Query heads that read one KV head.
    public var queriesPerHead: Int { heads / kvHeads }

    /// The query heads that read KV head `head`.
    public func queryHeads(of head: Int) -> Range<Int> { head * queriesPerHead..<(head + 1) * queriesPerHead }

    /// The rows of a head, counted within it, that have no plane.
    var plainRows: Range<Int> { rotaryDim..<headDim }

    /// The rows, or of the output the columns, that belong to head `head`.
    public func range(of head: Int) -> Range<Int> { head * headDim..<(head + 1) * headDim }

    /// Layer `layer` of a model.
    public init(_ config: ModelConfig, _ parameters: Parameters, layer: Int) throws(ParametersError) {
        heads = config.heads[layer]
        kvHeads = config.kvHeads[layer]
        headDim = config.headDim[layer]
        rotaryDim = config.rotaryDim(layer)
        hasBias = config.hasQueryKeyValueBias == true
        func stored(_ name: String) throws(ParametersError) -> Weight {
            guard let weight = parameters[name] else { throw .missing(name: name, shape: []) }
            return weight
        }
        func matrix(_ projection: String, hasBias: Bool) throws(ParametersError) -> DenseMatrix {
            let weight = try stored(Self.name(projection, layer: layer))
            let matrix = DenseMatrix(
                rows: weight.shape[0], columns: weight.shape[1], values: weight.float32().array().map(Double.init))
            guard hasBias else { return matrix }
            let bias = try stored(Self.biasName(projection, layer: layer)).float32().array()
            var joined = DenseMatrix(rows: matrix.rows, columns: matrix.columns + 1)
            joined.replace(0, 0, with: matrix)
            for row in bias.indices { joined[row, matrix.columns] = Double(bias[row]) }
            return joined
        }
        query = try matrix("q_proj", hasBias: hasBias)
        key = try matrix("k_proj", hasBias: hasBias)
        value = try matrix("v_proj", hasBias: hasBias)
        output = try matrix("o_proj", hasBias: false)
        guard config.hasQueryKeyNorm == true else { return }
        for norm in ["q_norm", "k_norm"] {
            gains.append(try stored(Self.name(norm, layer: layer)).float32().array().map(Double.init))
        }
        turnable = (0..<rotaryDim / 2).map { plane in gains.allSatisfy { $0[plane] == $0[plane + rotaryDim / 2] } }
    }

    /// The layer without QK-norm: each head's queries and keys divided by their root mean square over the calibration activations
    /// in place of each token's own, and times the gains. `epsilon` is the norms'.
    func normsFolded(epsilon: Double, _ context: LayerContext) -> AttentionWeights {
        var folded = self
        (folded.turnable, folded.gains) = (nil, [])
        guard gains.count == 2 else { return folded }
        func fold(_ matrix: inout DenseMatrix, heads: Int, gains: [Double]) {
            for head in 0..<heads {
                let rows = range(of: head)
                let meanSquare = context.gram(matrix.rows(rows)).trace / Double(headDim)
                let scale = 1 / (meanSquare + epsilon).squareRoot()
                for row in rows {
                    for column in 0..<matrix.columns { matrix[row, column] *= scale * gains[row - rows.lowerBound] }
                }
            }
        }
        fold(&folded.query, heads: heads, gains: gains[0])
        fold(&folded.key, heads: kvHeads, gains: gains[1])
        return folded
    }

    /// Sets those of the four weights that differ from `parent`'s; the others keep their element type and their bits.
    func write(to parameters: inout Parameters, layer: Int, unless parent: AttentionWeights) {
        let pairs = [
            ("q_proj", query, parent.query), ("k_proj", key, parent.key), ("v_proj", value, parent.value),
            ("o_proj", output, parent.output),
        ]
        for (name, matrix, before) in pairs where matrix != before { set(name, matrix, in: &parameters, layer: layer) }
    }

    /// Sets the weight `projection` of a layer, and its bias where the matrix has one as its last column.
    func set(_ projection: String, _ matrix: DenseMatrix, in parameters: inout Parameters, layer: Int) {
        let hasBias = hasBias && Self.readsInput.contains(projection)
        let width = matrix.columns - (hasBias ? 1 : 0)
        func put(_ name: String, _ shape: [Int], _ part: DenseMatrix) {
            parameters[name] = Weight(shape: shape, storage: Storage(copying: part.values.map { Float($0) }))
        }
        put(Self.name(projection, layer: layer), [matrix.rows, width], hasBias ? matrix.columns(0..<width) : matrix)
        if hasBias { put(Self.biasName(projection, layer: layer), [matrix.rows], matrix.columns(width..<width + 1)) }
    }

    /// Takes the weight `projection` of a layer away, and its bias.
    static func remove(_ projection: String, from parameters: inout Parameters, layer: Int) {
        parameters[name(projection, layer: layer)] = nil
        parameters[biasName(projection, layer: layer)] = nil
    }

    /// The projections of a layer's input, whose matrices have a column for the bias.
    private static let readsInput: Set = ["q_proj", "k_proj", "v_proj", "kv_a_proj_with_mqa"]

    static func biasName(_ projection: String, layer: Int) -> String { "model.layers.\(layer).self_attn.\(projection).bias" }

    static func name(_ projection: String, layer: Int) -> String { "model.layers.\(layer).self_attn.\(projection).weight" }
}
