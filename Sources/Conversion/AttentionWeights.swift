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
    /// Rows of each head that RoPE rotates, the first ones.
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
    /// Under QK-norm, whether a rotation of each RoPE plane commutes with the norms: the plane's two gains are equal in the
    /// queries' norm and in the keys'. nil without QK-norm, where every plane may be rotated and scaled.
    public var turnable: [Bool]?
    /// Under QK-norm the gains [headDim] of queries and of keys; else empty.
    public var gains: [[Double]] = []

    /// Query heads of a head group.
    public var queriesPerHead: Int { heads / kvHeads }

    /// The query heads of the group of KV head `head`.
    public func queryHeads(of head: Int) -> Range<Int> { head * queriesPerHead..<(head + 1) * queriesPerHead }

    /// The rows of a head, counted within it, outside the RoPE planes.
    var plainRows: Range<Int> { rotaryDim..<headDim }

    /// The rows of head `head`, in the output projection its columns.
    public func range(of head: Int) -> Range<Int> { head * headDim..<(head + 1) * headDim }

    /// The weights of layer `layer` of a model.
    public init(_ config: ModelConfig, _ parameters: Parameters, layer: Int) throws(ParametersError) {
        heads = config.heads[layer]
        kvHeads = config.kvHeads[layer]
        headDim = config.headDim[layer]
        rotaryDim = config.rotaryDim(layer)
        hasBias = config.hasQueryKeyValueBias == true
        let weights = try GroupedQueryWeights(config, layer: layer, parameters.weight)
        guard weights.inputs.count == 3 else { throw .missing(name: "\(WeightName(.key, layer: layer))", shape: []) }
        func matrix(_ weight: Weight, bias: Weight?) -> DenseMatrix {
            let matrix = DenseMatrix(
                rows: weight.shape[0], columns: weight.shape[1], values: weight.float32().array().map(Double.init))
            guard let bias = bias?.float32().array() else { return matrix }
            var joined = DenseMatrix(rows: matrix.rows, columns: matrix.columns + 1)
            joined.replace(0, 0, with: matrix)
            for row in bias.indices { joined[row, matrix.columns] = Double(bias[row]) }
            return joined
        }
        let biases: [Weight?] = hasBias ? weights.biases : [nil, nil, nil]
        let inputs = zip(weights.inputs, biases).map { matrix($0, bias: $1) }
        (query, key, value) = (inputs[0], inputs[1], inputs[2])
        output = matrix(weights.output, bias: nil)
        gains = weights.headNorms.map { $0.float32().array().map(Double.init) }
        guard !gains.isEmpty else { return }
        turnable = (0..<rotaryDim / 2).map { plane in gains.allSatisfy { $0[plane] == $0[plane + rotaryDim / 2] } }
    }

    /// The layer with QK-norm folded into its projections: each head's queries and keys are divided by their root mean square
    /// over the calibration activations, in place of each token's own, and multiplied by the gains. `epsilon` is the norms'.
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

    /// Sets the weights that differ from `parent`'s; the others keep their element type and their bits.
    func write(to parameters: inout Parameters, layer: Int, unless parent: AttentionWeights) {
        let pairs: [(WeightName.Module, DenseMatrix, DenseMatrix)] = [
            (.query, query, parent.query), (.key, key, parent.key), (.value, value, parent.value),
            (.output, output, parent.output),
        ]
        for (module, matrix, before) in pairs where matrix != before { set(module, matrix, in: &parameters, layer: layer) }
    }

    /// Sets the weight of a layer's module, and its bias if the matrix has one as its last column.
    func set(_ module: WeightName.Module, _ matrix: DenseMatrix, in parameters: inout Parameters, layer: Int) {
        let name = WeightName(module, layer: layer)
        let hasBias = hasBias && Self.readsInput.contains(module)
        let width = matrix.columns - (hasBias ? 1 : 0)
        func put(_ name: WeightName, _ shape: [Int], _ part: DenseMatrix) {
            parameters[name] = Weight(shape: shape, storage: Storage(copying: part.values.map { Float($0) }))
        }
        put(name, [matrix.rows, width], hasBias ? matrix.columns(0..<width) : matrix)
        if hasBias { put(name.bias, [matrix.rows], matrix.columns(width..<width + 1)) }
    }

    /// Removes the weights of a layer's modules, and their biases.
    static func remove(_ modules: WeightName.Module..., from parameters: inout Parameters, layer: Int) {
        for module in modules {
            let name = WeightName(module, layer: layer)
            (parameters[name], parameters[name.bias]) = (nil, nil)
        }
    }

    /// The projections of the layer's input, whose matrices have a column for the bias.
    private static let readsInput: Set<WeightName.Module> = [.query, .key, .value, .compress]
}
