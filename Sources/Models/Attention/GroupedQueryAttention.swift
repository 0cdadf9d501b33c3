import Autograd
import Kernels

/// Attention whose query heads share KV heads in equal groups (Ainslie et al. 2023): MHA with as many KV heads as heads,
/// MQA with one.
struct GroupedQueryAttention: Sendable {
    let heads: Int
    let kvHeads: Int
    let headDim: Int
    let rotary: RotaryTable
    let query: Tensor
    let key: Tensor
    let value: Tensor
    let output: Tensor

    /// Weights whose outputs stand side by side in a row of qkv.
    var projections: [Tensor] { [query, key, value] }

    /// qkv [batch·seq, (heads + 2·kvHeads)·d] to [batch·seq, heads·d].
    func callAsFunction(_ qkv: Tensor, _ input: ModelInput) -> Tensor {
        qkv.causalAttention(
            AttentionKernel(
                batch: input.batch, seq: input.seq, heads: heads, kvHeads: kvHeads, headDim: headDim, rotary: rotary,
                keyStarts: input.keyStarts))
    }

    /// qkv [tokens, (heads + 2·kvHeads)·d] to [tokens, heads·d]; keys are cached after their rotation.
    func callAsFunction(_ qkv: Tensor, _ step: RaggedBatch, layer: Int, cache: inout some KVCache) -> Tensor {
        let width = (heads + 2 * kvHeads) * headDim
        let rotated = qkv.detached.storage
        rotary.rotate(
            rotated, positions: step.positions(in: cache), rows: step.tokens.count, stride: width, heads: heads + kvHeads,
            headDim: headDim)
        let queries = CachedQueries(qkv: rotated, heads: heads, kvHeads: kvHeads, headDim: headDim)
        return Tensor(shape: [step.tokens.count, heads * headDim], storage: cache.attend(layer: layer, queries, step).output)
    }
}
