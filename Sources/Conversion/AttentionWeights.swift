import Kernels
import Models

/// One layer's four attention matrices in Float64; a weight [out, in] has a row for each output.
public struct AttentionWeights: Sendable, Equatable {
    /// Query heads.
    public var heads: Int
    /// Key and value heads.
    public var kvHeads: Int
    /// Width of a head.
    public var headDim: Int
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

    /// The rows, or of the output the columns, that belong to head `head`.
    public func range(of head: Int) -> Range<Int> { head * headDim..<(head + 1) * headDim }

    /// Layer `layer` of a model.
    public init(_ config: ModelConfig, _ parameters: Parameters, layer: Int) throws(ParametersError) {
        heads = config.heads[layer]
        kvHeads = config.kvHeads[layer]
        headDim = config.headDim[layer]
        func matrix(_ name: String) throws(ParametersError) -> DenseMatrix {
            let name = Self.name(name, layer: layer)
            guard let weight = parameters[name] else { throw .missing(name: name, shape: []) }
            return DenseMatrix(
                rows: weight.shape[0], columns: weight.shape[1], values: weight.float32().array().map(Double.init))
        }
        query = try matrix("q_proj")
        key = try matrix("k_proj")
        value = try matrix("v_proj")
        output = try matrix("o_proj")
        guard config.hasQueryKeyNorm == true else { return }
        var planes = [Bool](repeating: true, count: headDim / 2)
        for norm in ["q_norm", "k_norm"] {
            let name = Self.name(norm, layer: layer)
            guard let weight = parameters[name] else { throw .missing(name: name, shape: []) }
            let gains = weight.float32().array()
            for plane in planes.indices where gains[plane] != gains[plane + headDim / 2] { planes[plane] = false }
        }
        turnable = planes
    }

    /// Sets those of the four weights that differ from `parent`'s; the others keep their element type and their bits.
    func write(to parameters: inout Parameters, layer: Int, unless parent: AttentionWeights) {
        let pairs = [
            ("q_proj", query, parent.query), ("k_proj", key, parent.key), ("v_proj", value, parent.value),
            ("o_proj", output, parent.output),
        ]
        for (name, matrix, before) in pairs where matrix != before {
            parameters[Self.name(name, layer: layer)] = Weight(
                shape: [matrix.rows, matrix.columns], storage: Storage(copying: matrix.values.map { Float($0) }))
        }
    }

    static func name(_ projection: String, layer: Int) -> String { "model.layers.\(layer).self_attn.\(projection).weight" }
}
