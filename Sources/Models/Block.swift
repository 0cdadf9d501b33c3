import Autograd
import Kernels

/// One decoder block: x + attention(norm(x)), then x + feedForward(norm(x)).
struct Block: Sendable {
    let attentionNorm: Tensor
    let attention: GroupedQueryAttention
    let feedForwardNorm: Tensor
    let gate: Tensor
    let up: Tensor
    let down: Tensor
    let epsilon: Float

    /// x [batch·seq, hidden], no cache.
    func callAsFunction(_ x: Tensor, _ input: ModelInput, layer: Int) -> Tensor {
        let qkv = x.normLinear(gain: attentionNorm, weights: attention.projections, epsilon: epsilon)
        let attended = attention(qkv, input)
        let drops = (input.dropout?.rate ?? 0) > 0
        let middle =
            drops
            ? x + input.dropped(attended.linear(attention.output), site: 2 * layer + 1)
            : attended.linear(attention.output, residual: x)
        let gateUp = middle.normLinear(gain: feedForwardNorm, weights: [gate, up], epsilon: epsilon)
        return drops
            ? middle + input.dropped(gateUp.swiGLULinear(down), site: 2 * layer + 2)
            : gateUp.swiGLULinear(down, residual: middle)
    }

    /// x [tokens, hidden], keys and values in `cache`.
    func callAsFunction(_ x: Tensor, _ step: RaggedBatch, layer: Int, cache: inout some KVCache) -> Tensor {
        let qkv = x.normLinear(gain: attentionNorm, weights: attention.projections, epsilon: epsilon)
        let middle = attention(qkv, step, layer: layer, cache: &cache).linear(attention.output, residual: x)
        return middle.normLinear(gain: feedForwardNorm, weights: [gate, up], epsilon: epsilon).swiGLULinear(
            down, residual: middle)
    }
}
