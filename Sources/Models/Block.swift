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
    func callAsFunction(_ x: Tensor, _ input: ModelInput, layer: Int, _ compute: ComputeOptions) -> Tensor {
        guard compute.recompute == .block else { return callAsFunction(x, input, layer: layer, compute.precision) }
        return .recomputed([x] + weights) { inputs in
            with(weights: inputs.dropFirst())(inputs[0], input, layer: layer, compute.precision)
        }
    }

    private func callAsFunction(_ x: Tensor, _ input: ModelInput, layer: Int, _ precision: ComputePrecision) -> Tensor {
        feedForward(attend(x, input, layer: layer, precision), input, layer: layer, precision)
    }

    /// x + attention(norm(x)), the block's first half.
    func attend(_ x: Tensor, _ input: ModelInput, layer: Int, _ precision: ComputePrecision) -> Tensor {
        let qkv = x.normLinear(
            gain: attentionNorm, weights: attention.projections, epsilon: epsilon, precision: precision)
        let attended = attention(qkv, input)
        guard (input.dropout?.rate ?? 0) > 0 else {
            return attended.linear(attention.output, residual: x, precision: precision)
        }
        return x + input.dropped(attended.linear(attention.output, precision: precision), site: 2 * layer + 1)
    }

    /// middle + feedForward(norm(middle)), its second half.
    func feedForward(_ middle: Tensor, _ input: ModelInput, layer: Int, _ precision: ComputePrecision) -> Tensor {
        let gateUp = middle.normLinear(
            gain: feedForwardNorm, weights: [gate, up], epsilon: epsilon, precision: precision)
        guard (input.dropout?.rate ?? 0) > 0 else {
            return gateUp.swiGLULinear(down, residual: middle, precision: precision)
        }
        return middle + input.dropped(gateUp.swiGLULinear(down, precision: precision), site: 2 * layer + 2)
    }

    private var weights: [Tensor] {
        [attentionNorm] + attention.projections + [attention.output, feedForwardNorm, gate, up, down]
    }

    /// The same block over other weights, in the order of `weights`.
    private func with(weights: ArraySlice<Tensor>) -> Block {
        var rest = weights
        return Block(
            attentionNorm: rest.removeFirst(),
            attention: GroupedQueryAttention(
                heads: attention.heads, kvHeads: attention.kvHeads, headDim: attention.headDim, rotary: attention.rotary,
                query: rest.removeFirst(), key: rest.removeFirst(), value: rest.removeFirst(), output: rest.removeFirst()),
            feedForwardNorm: rest.removeFirst(), gate: rest.removeFirst(), up: rest.removeFirst(), down: rest.removeFirst(),
            epsilon: epsilon)
    }

    /// x [tokens, hidden], keys and values in `cache`.
    func callAsFunction(_ x: Tensor, _ step: RaggedBatch, layer: Int, cache: inout some KVCache) -> Tensor {
        let qkv = x.normLinear(gain: attentionNorm, weights: attention.projections, epsilon: epsilon)
        let middle = attention(qkv, step, layer: layer, cache: &cache).linear(attention.output, residual: x)
        return middle.normLinear(gain: feedForwardNorm, weights: [gate, up], epsilon: epsilon).swiGLULinear(
            down, residual: middle)
    }
}
