import Autograd
import Kernels

/// Attention whose query heads share KV heads in equal groups (Ainslie et al. 2023): MHA with as many KV heads as heads,
/// MQA with one.
///
/// Biases, a norm of each head's queries and keys and a sliding window where the model has them; without them nothing
/// stands between the projections and the attention kernel.
struct GroupedQueryAttention: Sendable {
    let heads: Int
    let kvHeads: Int
    let headDim: Int
    let rotary: RotaryTable
    let query: Tensor
    let key: Tensor
    let value: Tensor
    let output: Tensor
    /// Of query, key and value, where the model has biases.
    var biases: [Tensor] = []
    var outputBias: Tensor?
    /// Gains [headDim] of the norms of queries and keys, where the model has them, and the norms' epsilon.
    var headNorms: [Tensor] = []
    var epsilon: Float = 0
    /// Keys a position attends to, its own included; nil for all.
    var window: Int?

    /// Weights whose outputs stand side by side in a row of qkv.
    var projections: [Tensor] { [query, key, value] }

    /// All weights, in the order that `with(weights:)` takes them.
    var weights: [Tensor] { projections + [output] + biases + headNorms + (outputBias.map { [$0] } ?? []) }

    /// The same attention over other weights, taken off the front of `rest`.
    func with(weights rest: inout ArraySlice<Tensor>) -> GroupedQueryAttention {
        var copy = GroupedQueryAttention(
            heads: heads, kvHeads: kvHeads, headDim: headDim, rotary: rotary, query: rest.removeFirst(),
            key: rest.removeFirst(), value: rest.removeFirst(), output: rest.removeFirst())
        copy.biases = biases.map { _ in rest.removeFirst() }
        copy.headNorms = headNorms.map { _ in rest.removeFirst() }
        copy.outputBias = outputBias.map { _ in rest.removeFirst() }
        (copy.epsilon, copy.window) = (epsilon, window)
        return copy
    }

    /// Projections [tokens, (heads + 2·kvHeads)·d] with their biases, queries and keys normed head by head.
    func prepared(_ projected: Tensor) -> Tensor {
        var qkv = projected
        if !biases.isEmpty { qkv = qkv + Tensor.concat(biases) }
        guard headNorms.count == 2 else { return qkv }
        let rows = qkv.shape[0]
        let (queryWidth, kvWidth) = (heads * headDim, kvHeads * headDim)
        func normed(_ columns: Range<Int>, _ gain: Tensor) -> Tensor {
            qkv.slice(columns, axis: 1).reshaped(rows * columns.count / headDim, headDim).rmsNorm(weight: gain, epsilon: epsilon)
                .reshaped(rows, columns.count)
        }
        return .concat(
            [
                normed(0..<queryWidth, headNorms[0]), normed(queryWidth..<queryWidth + kvWidth, headNorms[1]),
                qkv.slice(queryWidth + kvWidth..<queryWidth + 2 * kvWidth, axis: 1),
            ], axis: 1)
    }

    /// attended [tokens, heads·d] through the output projection, onto `residual`.
    func projected(_ attended: Tensor, residual: Tensor? = nil, precision: ComputePrecision = .fp32) -> Tensor {
        let result =
            if let residual {
                attended.linear(output, residual: residual, precision: precision)
            } else {
                attended.linear(output, precision: precision)
            }
        return outputBias.map { result + $0 } ?? result
    }

    /// qkv [batch·seq, (heads + 2·kvHeads)·d] to [batch·seq, heads·d].
    func callAsFunction(_ qkv: Tensor, _ input: ModelInput) -> Tensor {
        prepared(qkv).causalAttention(
            AttentionKernel(
                batch: input.batch, seq: input.seq, heads: heads, kvHeads: kvHeads, headDim: headDim, rotary: rotary,
                keyStarts: keyStarts(input)))
    }

    /// The first key of each position: what the input says, or later where the window is narrower.
    private func keyStarts(_ input: ModelInput) -> [Int32]? {
        guard let window, window < input.seq else { return input.keyStarts }
        return (0..<input.batch * input.seq).map { row in
            max(input.keyStarts?[row] ?? 0, Int32(row % input.seq - window + 1))
        }
    }

    /// qkv [tokens, (heads + 2·kvHeads)·d] to [tokens, heads·d]; keys are cached after their rotation.
    func callAsFunction(_ qkv: Tensor, _ step: RaggedBatch, layer: Int, cache: inout some KVCache) -> Tensor {
        let width = (heads + 2 * kvHeads) * headDim
        let rotated = prepared(qkv).detached.storage
        rotary.rotate(
            rotated, positions: step.positions(in: cache), rows: step.tokens.count, stride: width, heads: heads + kvHeads,
            headDim: headDim)
        let queries = CachedQueries(qkv: rotated, heads: heads, kvHeads: kvHeads, headDim: headDim)
        return Tensor(shape: [step.tokens.count, heads * headDim], storage: cache.attend(layer: layer, queries, step).output)
    }
}
