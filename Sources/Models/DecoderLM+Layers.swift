import Autograd

/// A pass taken apart, for what looks at one layer at a time: calibration, refinement, diagnosis.
extension DecoderLM {
    /// What the first block reads, [batch·seq, hidden].
    public func embedded(_ input: ModelInput) -> Tensor {
        var x = embedding.embedding(input.tokens)
        if let positions { x = x + positions.embedding(input.tokens.indices.map { Int32($0 % input.seq) }) }
        return input.dropped(x, site: 0)
    }

    /// What block `layer`'s projections to queries, keys and values read: the norm of the residual stream x [batch·seq, hidden].
    public func attentionInput(_ x: Tensor, layer: Int) -> Tensor {
        block(layer).attentionNorm(x)
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
