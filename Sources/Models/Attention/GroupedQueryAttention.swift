import Autograd
import Kernels

/// Attention whose query heads share KV heads in equal groups (Ainslie et al. 2023): MHA with as many KV heads as heads,
/// MQA with one.
///
/// Biases, a norm of each head's queries and keys and a sliding window where the model has them; without them nothing
/// stands between the projections and the attention kernel. A layer may read an earlier one's keys and values (see
/// ``CrossLayerAttention``): these are projected and normed once, and rotated in each layer that reads them.
struct GroupedQueryAttention: Attention {
    let heads: Int
    let kvHeads: Int
    let headDim: Int
    /// Of queries and keys; nil for none.
    let rotary: RotaryTable?
    let query: Tensor
    /// Of keys and values; nil in a layer that reads another's.
    let key: Tensor?
    let value: Tensor?
    let output: Tensor
    /// Of query, key and value, where the model has biases.
    var biases: [Tensor] = []
    var outputBias: Tensor?
    /// Gains [headDim] of the norms of queries and keys, where the model has them, and the norms' epsilon.
    var headNorms: [Tensor] = []
    var epsilon: Float = 0
    /// What the layer caches; with it the window and the sinks.
    var geometry: KVGeometry
    /// Whether later layers read this one's keys and values.
    var isRead = false

    init(
        config: ModelConfig, layer: Int, rotary: RotaryTable?, take: (String) throws(ParametersError) -> Tensor
    ) throws(ParametersError) {
        (heads, kvHeads, headDim) = (config.heads[layer], config.kvHeads[layer], config.headDim[layer])
        self.rotary = rotary
        geometry = config.kvGeometry(.float32)[layer]
        isRead = config.isRead(layer)
        let ownsKeys = geometry.source == nil
        query = try take("q_proj.weight")
        key = ownsKeys ? try take("k_proj.weight") : nil
        value = ownsKeys ? try take("v_proj.weight") : nil
        output = try take("o_proj.weight")
        if config.hasQueryKeyValueBias == true {
            for name in ownsKeys ? ["q_proj", "k_proj", "v_proj"] : ["q_proj"] { biases.append(try take(name + ".bias")) }
        }
        if config.hasOutputBias == true { outputBias = try take("o_proj.bias") }
        if config.hasQueryKeyNorm == true {
            for name in ownsKeys ? ["q_norm", "k_norm"] : ["q_norm"] { headNorms.append(try take(name + ".weight")) }
        }
        epsilon = Float(config.normEpsilon)
    }

    private init(_ other: GroupedQueryAttention, weights rest: inout ArraySlice<Tensor>) {
        (heads, kvHeads, headDim, rotary) = (other.heads, other.kvHeads, other.headDim, other.rotary)
        query = rest.removeFirst()
        key = other.key.map { _ in rest.removeFirst() }
        value = other.value.map { _ in rest.removeFirst() }
        output = rest.removeFirst()
        biases = other.biases.map { _ in rest.removeFirst() }
        headNorms = other.headNorms.map { _ in rest.removeFirst() }
        outputBias = other.outputBias.map { _ in rest.removeFirst() }
        (epsilon, geometry, isRead) = (other.epsilon, other.geometry, other.isRead)
    }

    private var keysAndValues: [Tensor] { [key, value].compactMap { $0 } }
    private var sharesKeys: Bool { isRead || geometry.source != nil }

    /// Projections of the normed input: queries, and keys and values where the layer has its own.
    var inputs: [Tensor] { [query] + keysAndValues }
    var projections: [Tensor] { sharesKeys ? [query] : inputs }
    var sharedProjections: [Tensor] { isRead ? keysAndValues : [] }
    var weights: [Tensor] { inputs + [output] + biases + headNorms + (outputBias.map { [$0] } ?? []) }

    func with(weights rest: inout ArraySlice<Tensor>) -> GroupedQueryAttention {
        GroupedQueryAttention(self, weights: &rest)
    }

    /// Rows of [queries | keys | values], or of some of these, with their biases, queries and keys normed head by head.
    func prepared(_ projected: Tensor, queries: Bool = true, keysAndValues: Bool = true) -> Tensor {
        var result = projected
        let biases = (queries ? biases.prefix(1) : []) + (keysAndValues ? biases.dropFirst() : [])
        if !biases.isEmpty { result = result + (biases.count == 1 ? biases[biases.startIndex] : Tensor.concat(Array(biases))) }
        guard !headNorms.isEmpty else { return result }
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
        if queries { take(heads: heads, gain: headNorms[0]) }
        if keysAndValues, headNorms.count == 2 {
            take(heads: kvHeads, gain: headNorms[1])
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
        return qkv.causalAttention(kernel)
    }

    /// The first key of each position: what the input says, or later where the window is narrower.
    private func keyStarts(_ input: ModelInput) -> [Int32]? {
        guard let window = geometry.window, window < input.seq else { return input.keyStarts }
        return (0..<input.batch * input.seq).map { row in
            max(input.keyStarts?[row] ?? 0, Int32(row % input.seq - window + 1))
        }
    }
}
