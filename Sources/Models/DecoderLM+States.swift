import Autograd

extension DecoderLM {
    /// The residual stream after each block, [batch·seq, hidden], and every position's logits, [batch·seq, vocab].
    public func states(_ input: ModelInput) -> (blocks: [Tensor], logits: Tensor) {
        precondition(input.seq <= config.maxSequence, "DecoderLM: \(input.seq) positions, the model has \(config.maxSequence)")
        var x = embedded(input)
        var shared = SharedKeysAndValues()
        var states: [Tensor] = []
        for layer in blocks.indices {
            x = run(layer, x, input, &shared)
            states.append(x)
        }
        return (states, finalNorm(x).linear(head, precision: compute.precision))
    }
}
