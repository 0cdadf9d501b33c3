import Autograd

/// The forward pass layer by layer, for calibration and diagnosis.
extension DecoderLM {
    /// The input of the first block, [batch·seq, hidden].
    public func embedded(_ input: ModelInput) -> Tensor {
        var x = embedding.embedding(input.tokens)
        if let positions { x = x + positions.embedding(input.tokens.indices.map { Int32($0 % input.seq) }) }
        return input.dropped(x, site: 0)
    }

    /// The input of block `layer`'s query, key and value projections: the norm of the residual stream x [batch·seq, hidden].
    public func attentionInput(_ x: Tensor, layer: Int) -> Tensor {
        block(layer).attentionNorm(x)
    }

    /// The residual stream after each block of `range`, with x [batch·seq, hidden] as the input of the first.
    ///
    /// Precondition: layers of `range` share keys and values only with layers of `range`.
    public func blocks(_ range: Range<Int>, _ x: Tensor, _ input: ModelInput) -> [Tensor] {
        var x = x
        var shared = SharedKeysAndValues()
        return range.map { layer in
            x = run(layer, x, input, &shared)
            return x
        }
    }
}
