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
        var planes = [Bool](repeating: true, count: rotaryDim / 2)
        for norm in ["q_norm", "k_norm"] {
            let name = Self.name(norm, layer: layer)
            guard let weight = parameters[name] else { throw .missing(name: name, shape: []) }
            let gains = weight.float32().array()
            for plane in planes.indices where gains[plane] != gains[plane + rotaryDim / 2] { planes[plane] = false }
        }
        turnable = planes
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
        let hasBias = hasBias && projection != "o_proj"
        let width = matrix.columns - (hasBias ? 1 : 0)
        func put(_ name: String, _ shape: [Int], _ part: DenseMatrix) {
            parameters[name] = Weight(shape: shape, storage: Storage(copying: part.values.map { Float($0) }))
        }
        put(Self.name(projection, layer: layer), [matrix.rows, width], hasBias ? matrix.columns(0..<width) : matrix)
        if hasBias { put(Self.biasName(projection, layer: layer), [matrix.rows], matrix.columns(width..<width + 1)) }
    }

    static func biasName(_ projection: String, layer: Int) -> String { "model.layers.\(layer).self_attn.\(projection).bias" }

    static func name(_ projection: String, layer: Int) -> String { "model.layers.\(layer).self_attn.\(projection).weight" }
}
