import Autograd
import Kernels

/// One decoder block: y = x + attention(norm(x)), then y + feedForward(norm(y)) or, with a parallel residual,
/// y + feedForward(norm(x)).
struct Block: Sendable {
    let attentionNorm: Norm<Tensor>
    let attention: any Attention
    let feedForwardNorm: Norm<Tensor>
    let feedForward: FeedForward
    private let config: ModelConfig
    private let layer: Int
    private let rotary: RotaryTable?
    /// All weights, in the order of their declaration.
    private let weights: [Tensor]

    /// Block `layer` over the tensors that `bind` returns.
    init<Failure>(
        _ config: ModelConfig, layer: Int, rotary: RotaryTable?, _ bind: WeightBinding<Tensor, Failure>
    ) throws(Failure) {
        var weights: [Tensor] = []
        let parts = try LayerWeights<Tensor>(config, layer: layer) { (name, shape) throws(Failure) in
            let weight = try bind(name, shape)
            weights.append(weight)
            return weight
        }
        (self.config, self.layer, self.rotary, self.weights) = (config, layer, rotary, weights)
        (attentionNorm, feedForwardNorm) = (parts.attentionNorm, parts.feedForwardNorm)
        attention = parts.attention.attention(config, layer: layer, rotary: rotary)
        feedForward = FeedForward(weights: parts.feedForward, activation: config.activation)
    }

    /// Whether the residual is parallel (GPT-NeoX): the feed-forward layer reads attention's input, not its output.
    private var isParallel: Bool { config.hasParallelResidual == true }

    /// The same block with other weights, in the order of their declaration.
    private func with(weights: ArraySlice<Tensor>) -> Block {
        var rest = weights
        return Block(config, layer: layer, rotary: rotary) { _, _ in rest.removeFirst() }
    }

    /// The shared keys and values of x [batch·seq, hidden], for this and later layers; nil where only this layer reads them.
    func sharedKeysAndValues(_ x: Tensor, _ precision: ComputePrecision) -> Tensor? {
        let weights = attention.sharedProjections
        guard !weights.isEmpty else { return nil }
        return attention.preparedShared(attentionNorm.linear(x, weights, precision))
    }

    /// Runs the block over x [batch·seq, hidden], without a cache; `keysAndValues` are given where layers share them.
    func callAsFunction(_ x: Tensor, keysAndValues: Tensor?, _ input: ModelInput, _ compute: ComputeOptions) -> Tensor {
        // Recomputation knows the weights' gradients and no gates'.
        guard compute.recompute == .block, input.gates == nil else {
            return callAsFunction(x, keysAndValues, input, compute.precision)
        }
        let shared = keysAndValues.map { [$0] } ?? []
        return .recomputed([x] + shared + weights) { inputs in
            with(weights: inputs.dropFirst(1 + shared.count))(
                inputs[0], shared.isEmpty ? nil : inputs[1], input, compute.precision)
        }
    }

    private func callAsFunction(
        _ x: Tensor, _ keysAndValues: Tensor?, _ input: ModelInput, _ precision: ComputePrecision
    ) -> Tensor {
        let middle = attend(x, keysAndValues: keysAndValues, input, precision)
        let source = isParallel ? x : middle
        guard (input.dropout?.rate ?? 0) > 0 else {
            return feedForward(source, norm: feedForwardNorm, residual: middle, precision)
        }
        return middle + input.dropped(feedForward(source, norm: feedForwardNorm, precision), site: 2 * layer + 2)
    }

    /// x + attention(norm(x)), the block's first half.
    private func attend(
        _ x: Tensor, keysAndValues: Tensor?, _ input: ModelInput, _ precision: ComputePrecision
    ) -> Tensor {
        let projected = attentionNorm.linear(x, attention.projections, precision)
        func attend(_ input: ModelInput) -> Tensor {
            attention.attended(projected, keysAndValues: keysAndValues, input, precision)
        }
        let attended = input.gates?.mixed(layer, input, attend) ?? attend(input)
        guard (input.dropout?.rate ?? 0) > 0 else {
            return attention.projected(attended, residual: x, precision: precision)
        }
        return x + input.dropped(attention.projected(attended, residual: nil, precision: precision), site: 2 * layer + 1)
    }
}
