import Autograd

/// A pass's residual stream, from which losses and distances are computed.
public struct DecoderStates: Sendable {
    /// The residual stream after each block, [batch·seq, hidden]; empty where it was not kept.
    public var blocks: [Tensor]
    /// The residual stream after the last block and the final norm, [batch·seq, hidden].
    public var final: Tensor
}

extension DecoderLM {
    /// The residual stream over `input`; after each block only where `keepsBlocks`, which holds all of them at once.
    public func states(_ input: ModelInput, keepsBlocks: Bool) -> DecoderStates {
        guard keepsBlocks else { return DecoderStates(blocks: [], final: hidden(input)) }
        precondition(input.seq <= config.maxSequence, "DecoderLM: \(input.seq) positions, the model has \(config.maxSequence)")
        let states = blocks(0..<config.layers, embedded(input), input)
        return DecoderStates(blocks: states, final: finalNorm(states[states.count - 1]))
    }

    /// The distillation loss of `states`, a scalar, and the mean negative log-likelihood in nats of `targets` [batch·seq] alone:
    /// (1 − share)·NLL + share·T²·KL(teacher ‖ model at temperature T) (Hinton et al. 2015).
    ///
    /// Negative targets are not scored. `normalizer` replaces the number of scored targets. Precondition: `teacher`, whose states
    /// are of the same tokens, has the model's vocabulary.
    public func distillationLoss(
        _ states: DecoderStates, targets: [Int32], teacher: DecoderLM, _ expected: DecoderStates, share: Float,
        temperature: Float, normalizer: Int? = nil
    ) -> (objective: Tensor, nll: Double) {
        states.final.linearDistillation(
            head, targets: targets, teacher: (rows: expected.final, weight: teacher.head), share: share,
            temperature: temperature, normalizer: normalizer, precision: compute.precision)
    }
}
