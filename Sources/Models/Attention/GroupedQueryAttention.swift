import Autograd
import Kernels

/// The weights of grouped-query attention, each held as `Value`.
public struct GroupedQueryWeights<Value> {
    /// Projections [out, hidden] of queries, and of keys and values unless the layer shares another's.
    public let inputs: [Value]
    /// The output projection [hidden, heads·headDim].
    public let output: Value
    /// Biases of ``inputs``; empty where the model has none.
    public let biases: [Value]
    /// The bias of ``output``; nil for none.
    public let outputBias: Value?
    /// QK-norm gains [headDim] of queries, and of keys unless the layer shares another's; empty without QK-norm.
    public let headNorms: [Value]

    /// Binds the weights of `layer`.
    public init<Failure>(_ config: ModelConfig, layer: Int, _ bind: WeightBinding<Value, Failure>) throws(Failure) {
        let (hidden, headDim) = (config.hiddenSize, config.headDim[layer])
        let (queryWidth, kvWidth) = (config.heads[layer] * headDim, config.kvHeads[layer] * headDim)
        let ownsKeys = config.keyValueSource(layer) == nil
        let modules: [WeightName.Module] = ownsKeys ? [.query, .key, .value] : [.query]
        let projections = modules.map { (name: WeightName($0, layer: layer), width: $0 == .query ? queryWidth : kvWidth) }
        let output = WeightName(.output, layer: layer)
        let hasBias = config.hasQueryKeyValueBias == true
        inputs = try projections.map { (projection) throws(Failure) in try bind(projection.name, [projection.width, hidden]) }
        self.output = try bind(output, [hidden, queryWidth])
        let biased = hasBias ? projections : []
        biases = try biased.map { (projection) throws(Failure) in try bind(projection.name.bias, [projection.width]) }
        outputBias = config.hasOutputBias == true ? try bind(output.bias, [hidden]) : nil
        let norms: [WeightName.Module] = config.hasQueryKeyNorm != true ? [] : ownsKeys ? [.queryNorm, .keyNorm] : [.queryNorm]
        headNorms = try norms.map { (norm) throws(Failure) in try bind(WeightName(norm, layer: layer), [headDim]) }
    }
}

extension GroupedQueryWeights: Sendable where Value: Sendable {}

/// Grouped-query attention: query heads share KV heads in equal head groups (Ainslie et al. 2023). MHA has as many KV heads as
/// heads, MQA has one.
///
/// Biases, QK-norm and a sliding window are optional; without them nothing stands between the projections and the attention
/// kernel. A layer may share an earlier layer's keys and values (see ``CrossLayerAttention``): these are projected and normed
/// once, and rotated in each layer that shares them.
struct GroupedQueryAttention: Attention {
    let weights: GroupedQueryWeights<Tensor>
    let heads: Int
    let kvHeads: Int
    let headDim: Int
    /// Rotation of queries and keys; nil for none.
    let rotary: RotaryTable?
    /// The norms' epsilon.
    let epsilon: Float
    /// The layer's cache geometry, with its window and sinks.
    let geometry: KVGeometry
    /// Whether later layers share this layer's keys and values.
    let isRead: Bool
    private let layer: Int

    init(_ weights: GroupedQueryWeights<Tensor>, _ config: ModelConfig, layer: Int, rotary: RotaryTable?) {
        (self.weights, self.rotary, self.layer) = (weights, rotary, layer)
        (heads, kvHeads, headDim) = (config.heads[layer], config.kvHeads[layer], config.headDim[layer])
        epsilon = Float(config.normEpsilon)
        geometry = config.kvGeometry(.float32)[layer]
        isRead = config.isRead(layer)
    }

    private var sharesKeys: Bool { isRead || geometry.source != nil }

    var projections: [Tensor] { sharesKeys ? [weights.inputs[0]] : weights.inputs }
    var sharedProjections: [Tensor] { isRead ? Array(weights.inputs.dropFirst()) : [] }
    var output: Tensor { weights.output }
    var outputBias: Tensor? { weights.outputBias }

    /// Adds biases to rows of [queries | keys | values], or of some of these, and norms queries and keys head by head.
    func prepared(_ projected: Tensor, queries: Bool = true, keysAndValues: Bool = true) -> Tensor {
        var result = projected
        let biases = (queries ? weights.biases.prefix(1) : []) + (keysAndValues ? weights.biases.dropFirst() : [])
        if let bias = Array(biases).joined { result = result + bias }
        guard !weights.headNorms.isEmpty else { return result }
        let (source, rows) = (result, result.shape[0])
        var pieces: [Tensor] = []
        var column = 0
        func take(heads: Int, gain: Tensor?) {
            let part = source.slice(column..<column + heads * headDim, axis: 1)
            column += heads * headDim
            guard let gain else { return pieces.append(part) }
            pieces.append(
                part.reshaped(rows * heads, headDim).rmsNorm(weight: gain, epsilon: epsilon).reshaped(rows, heads * headDim))
        }
        if queries { take(heads: heads, gain: weights.headNorms[0]) }
        if keysAndValues, weights.headNorms.count == 2 {
            take(heads: kvHeads, gain: weights.headNorms[1])
            take(heads: kvHeads, gain: nil)
        }
        return pieces.count == 1 ? pieces[0] : .concat(pieces, axis: 1)
    }

    func preparedShared(_ projected: Tensor) -> Tensor { prepared(projected, queries: false) }

    func attended(_ projected: Tensor, keysAndValues: Tensor?, _ input: ModelInput, _ precision: ComputePrecision) -> Tensor {
        let qkv =
            if sharesKeys, let keysAndValues {
                Tensor.concat([prepared(projected, keysAndValues: false), keysAndValues], axis: 1)
            } else {
                prepared(projected)
            }
        var kernel = AttentionKernel(
            batch: input.batch, seq: input.seq, heads: heads, kvHeads: kvHeads, headDim: headDim, rotary: rotary,
            keyStarts: keyStarts(input))
        (kernel.sinks, kernel.sinkStarts) = (geometry.sinks, geometry.sinks > 0 ? input.keyStarts : nil)
        guard let cache = input.cache else { return qkv.causalAttention(kernel) }
        let stored = StoredRows(
            cache.encodings[layer], sequences: cache.sequences, rowWidth: kernel.rowWidth, keys: heads * headDim,
            values: (heads + kvHeads) * headDim, kvHeads: kvHeads, keyDim: headDim, valueDim: headDim, rotary: rotary)
        return cache.attend(kernel, layer: layer) { qkv.stored(stored, $0) }
    }

    /// The first visible key of each position: the input's, or later where the window is narrower.
    private func keyStarts(_ input: ModelInput) -> [Int32]? {
        guard let window = geometry.window, window < input.seq else { return input.keyStarts }
        return (0..<input.batch * input.seq).map { row in
            max(input.keyStarts?[row] ?? 0, Int32(row % input.seq - window + 1))
        }
    }
}
