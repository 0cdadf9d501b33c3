import Autograd

/// A pass taken apart, for what looks at one layer at a time: calibration, refinement, diagnosis.
extension DecoderLM {
    /// What the first block reads, [batch·seq, hidden].
    public func embedded(_ input: ModelInput) -> Tensor {
        input.dropped(embedding.embedding(input.tokens), site: 0)
    }

    /// What block `layer`'s projections to queries, keys and values read: the norm of the residual stream x [batch·seq, hidden].
    public func attentionInput(_ x: Tensor, layer: Int) -> Tensor {
        x.rmsNorm(weight: blocks[layer].attentionNorm, epsilon: Float(config.normEpsilon))
    }

    /// x + attention(norm(x)) of block `layer`.
    public func attentionHalf(_ x: Tensor, _ input: ModelInput, layer: Int) -> Tensor {
        blocks[layer].attend(x, input, layer: layer, compute.precision)
    }

    /// middle + feedForward(norm(middle)) of block `layer`.
    public func feedForwardHalf(_ middle: Tensor, _ input: ModelInput, layer: Int) -> Tensor {
        blocks[layer].feedForward(middle, input, layer: layer, compute.precision)
    }
}
