import Autograd
import Kernels

/// One decoder block: x + attention(norm(x)), then x + feedForward(norm(x)).
struct Block: Sendable {
    let attentionNorm: Tensor
    let attention: any Attention
    let feedForwardNorm: Tensor
    let gate: Tensor
    let up: Tensor
    let down: Tensor
    let epsilon: Float
    /// Of gate and up, and of down, where the model has biases.
    var gateUpBiases: [Tensor] = []
    var downBias: Tensor?

    /// The keys and values of x [batch·seq, hidden] that this and later layers read; nil where only this one does.
    func sharedKeysAndValues(_ x: Tensor, _ precision: ComputePrecision) -> Tensor? {
        let weights = attention.sharedProjections
        guard !weights.isEmpty else { return nil }
        return attention.preparedShared(
            x.normLinear(gain: attentionNorm, weights: weights, epsilon: epsilon, precision: precision))
    }

    /// x [batch·seq, hidden], no cache; `keysAndValues` where the layer shares them with others.
    func callAsFunction(_ x: Tensor, keysAndValues: Tensor?, _ input: ModelInput, layer: Int, _ compute: ComputeOptions) -> Tensor
    {
        guard compute.recompute == .block else {
            return callAsFunction(x, keysAndValues, input, layer: layer, compute.precision)
        }
        let shared = keysAndValues.map { [$0] } ?? []
        return .recomputed([x] + shared + weights) { inputs in
            with(weights: inputs.dropFirst(1 + shared.count))(
                inputs[0], shared.isEmpty ? nil : inputs[1], input, layer: layer, compute.precision)
        }
    }

    private func callAsFunction(
        _ x: Tensor, _ keysAndValues: Tensor?, _ input: ModelInput, layer: Int, _ precision: ComputePrecision
    ) -> Tensor {
        feedForward(attend(x, keysAndValues: keysAndValues, input, layer: layer, precision), input, layer: layer, precision)
    }

    /// x + attention(norm(x)), the block's first half.
    func attend(
        _ x: Tensor, keysAndValues: Tensor?, _ input: ModelInput, layer: Int, _ precision: ComputePrecision
    ) -> Tensor {
        let projected = x.normLinear(
            gain: attentionNorm, weights: attention.projections, epsilon: epsilon, precision: precision)
        let attended = attention.attended(projected, keysAndValues: keysAndValues, input, precision)
        guard (input.dropout?.rate ?? 0) > 0 else {
            return attention.projected(attended, residual: x, precision: precision)
        }
        return x + input.dropped(attention.projected(attended, residual: nil, precision: precision), site: 2 * layer + 1)
    }

    /// middle + feedForward(norm(middle)), its second half.
    func feedForward(_ middle: Tensor, _ input: ModelInput, layer: Int, _ precision: ComputePrecision) -> Tensor {
        let gateUp = gateUp(middle, precision)
        guard (input.dropout?.rate ?? 0) > 0 else {
            return biased(gateUp.swiGLULinear(down, residual: middle, precision: precision))
        }
        return middle + input.dropped(biased(gateUp.swiGLULinear(down, precision: precision)), site: 2 * layer + 2)
    }

    private func gateUp(_ middle: Tensor, _ precision: ComputePrecision = .fp32) -> Tensor {
        let result = middle.normLinear(
            gain: feedForwardNorm, weights: [gate, up], epsilon: epsilon, precision: precision)
        return gateUpBiases.isEmpty ? result : result + Tensor.concat(gateUpBiases)
    }

    private func biased(_ output: Tensor) -> Tensor { downBias.map { output + $0 } ?? output }

    private var weights: [Tensor] {
        [attentionNorm] + attention.weights + [feedForwardNorm, gate, up, down] + gateUpBiases + (downBias.map { [$0] } ?? [])
    }

    /// The same block over other weights, in the order of `weights`.
    private func with(weights: ArraySlice<Tensor>) -> Block {
        var rest = weights
        var block = Block(
            attentionNorm: rest.removeFirst(), attention: attention.with(weights: &rest), feedForwardNorm: rest.removeFirst(),
            gate: rest.removeFirst(), up: rest.removeFirst(), down: rest.removeFirst(),
            epsilon: epsilon)
        block.gateUpBiases = gateUpBiases.map { _ in rest.removeFirst() }
        block.downBias = downBias.map { _ in rest.removeFirst() }
        return block
    }

    /// x [tokens, hidden], keys and values in `cache`.
    func callAsFunction(_ x: Tensor, _ step: RaggedBatch, layer: Int, cache: inout some KVCache) -> Tensor {
        let projected = x.normLinear(gain: attentionNorm, weights: attention.cachedProjections, epsilon: epsilon)
        let middle = attention.projected(
            attention.attended(projected, step, layer: layer, cache: &cache), residual: x, precision: .fp32)
        return biased(gateUp(middle).swiGLULinear(down, residual: middle))
    }
}
