import Autograd
import Kernels
import Models

/// Distillation: training on a teacher's predictions beside the text (Hinton et al. 2015). The loss is
///
///     (1 − weight)·NLL + weight·T²·KL(teacher ‖ model at temperature T) + hidden·mean over layers of ‖x − x_t‖² / ‖x_t‖²
///
/// with x the residual stream after a layer and x_t the teacher's. The teacher runs on the same tokens in the same process,
/// without dropout and over whole keys and values, also where the model is trained through a compressed cache, and is not updated.
public struct Distillation: Sendable {
    /// The teacher; it has the model's vocabulary and, where `hidden` is not 0, the model's layers and hidden size.
    public var teacher: DecoderLM
    /// Weight of the teacher's part of the loss, from 0 to 1.
    public var weight: Double
    /// Temperature of both distributions.
    public var temperature: Double
    /// Weight of the layers' distances; with 0 they are not computed.
    public var hidden: Double

    /// Distillation from `teacher`; by default half from its logits at temperature 1, and not from its layers.
    public init(teacher: DecoderLM, weight: Double = 0.5, temperature: Double = 1, hidden: Double = 0) {
        self.teacher = teacher
        self.weight = weight
        self.temperature = temperature
        self.hidden = hidden
    }

    /// The loss to minimise, a scalar, and the negative log-likelihood in nats alone; both are sums over the input's scored
    /// targets divided by `normalizer`, the targets scored in the whole step.
    func loss(
        _ model: DecoderLM, _ input: ModelInput, targets: [Int32], normalizer: Int
    ) -> (objective: Tensor, nll: Double) {
        let share = Float(targets.count { $0 >= 0 }) / Float(max(normalizer, 1))
        var plain = input
        (plain.dropout, plain.cache) = (nil, nil)
        let expected = teacher.states(plain, keepsBlocks: hidden > 0)
        let found = model.states(input, keepsBlocks: hidden > 0)
        let loss = model.distillationLoss(
            found, targets: targets, teacher: teacher, expected, share: Float(weight), temperature: Float(temperature),
            normalizer: normalizer)
        var objective = loss.objective
        if hidden > 0 {
            for (x, target) in zip(found.blocks, expected.blocks) {
                let size = Elementwise.sumOfSquares(target.storage)
                let distance = x - target
                objective =
                    objective + (distance * distance).sum()
                    * (share * Float(hidden / (Double(found.blocks.count) * max(size, 1e-30))))
            }
        }
        return (objective, loss.nll)
    }
}
