import Autograd
import Kernels

/// One decoder block: x + attention(norm(x)), then that + feedForward(norm(that)), or in parallel + feedForward(norm(x)).
struct Block: Sendable {
    let attentionNorm: Norm
    let attention: any Attention
    let feedForwardNorm: Norm
    let feedForward: FeedForward
    /// Whether the feed-forward layer reads what attention read, not what it gave (GPT-NeoX).
    let isParallel: Bool

    /// The keys and values of x [batch·seq, hidden] that this and later layers read; nil where only this one does.
    func sharedKeysAndValues(_ x: Tensor, _ precision: ComputePrecision) -> Tensor? {
        let weights = attention.sharedProjections
        guard !weights.isEmpty else { return nil }
        return attention.preparedShared(attentionNorm.linear(x, weights, precision))
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
        let middle = attend(x, keysAndValues: keysAndValues, input, layer: layer, precision)
        let source = isParallel ? x : middle
        guard (input.dropout?.rate ?? 0) > 0 else {
            return feedForward(source, norm: feedForwardNorm, residual: middle, precision)
        }
        return middle + input.dropped(feedForward(source, norm: feedForwardNorm, precision), site: 2 * layer + 2)
    }

    /// x + attention(norm(x)), the block's first half.
    private func attend(
        _ x: Tensor, keysAndValues: Tensor?, _ input: ModelInput, layer: Int, _ precision: ComputePrecision
    ) -> Tensor {
        let projected = attentionNorm.linear(x, attention.projections, precision)
        let attended = attention.attended(projected, keysAndValues: keysAndValues, input, precision)
        guard (input.dropout?.rate ?? 0) > 0 else {
            return attention.projected(attended, residual: x, precision: precision)
        }
        return x + input.dropped(attention.projected(attended, residual: nil, precision: precision), site: 2 * layer + 1)
    }

    private var weights: [Tensor] {
        attentionNorm.weights + attention.weights + feedForwardNorm.weights + feedForward.weights
    }

    /// The same block over other weights, in the order of `weights`.
    private func with(weights: ArraySlice<Tensor>) -> Block {
        var rest = weights
        return Block(
            attentionNorm: attentionNorm.with(weights: &rest), attention: attention.with(weights: &rest),
            feedForwardNorm: feedForwardNorm.with(weights: &rest), feedForward: feedForward.with(weights: &rest),
            isParallel: isParallel)
    }
}
