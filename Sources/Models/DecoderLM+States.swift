import Autograd

extension DecoderLM {
    /// The residual stream after each block, [batch·seq, hidden], and every position's logits, [batch·seq, vocab].
    public func states(_ input: ModelInput) -> (blocks: [Tensor], logits: Tensor) {
        precondition(input.seq <= config.maxSequence, "DecoderLM: \(input.seq) positions, the model has \(config.maxSequence)")
        let states = blocks(0..<config.layers, embedded(input), input)
        return (states, finalNorm(states[states.count - 1]).linear(head, precision: compute.precision))
    }
}
