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

    /// x + attention(norm(x)) of block `layer`, which has keys and values of its own; none but it reads them here.
    public func attentionHalf(_ x: Tensor, _ input: ModelInput, layer: Int) -> Tensor {
        blocks[layer].attend(
            x, keysAndValues: blocks[layer].sharedKeysAndValues(x, compute.precision), input, layer: layer, compute.precision)
    }

    /// middle + feedForward(norm(middle)) of block `layer`.
    public func feedForwardHalf(_ middle: Tensor, _ input: ModelInput, layer: Int) -> Tensor {
        blocks[layer].feedForward(middle, input, layer: layer, compute.precision)
    }

    /// The residual stream behind each block of `range`, x [batch·seq, hidden] going into the first.
    ///
    /// Precondition: layers of `range` read keys and values of layers of `range` alone.
    public func blocks(_ range: Range<Int>, _ x: Tensor, _ input: ModelInput) -> [Tensor] {
        var x = x
        var shared = SharedKeysAndValues()
        return range.map { layer in
            x = run(layer, x, input, &shared)
            return x
        }
    }
}
