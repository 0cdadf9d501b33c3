/// What stops a training run.
public enum TrainingError: Error, CustomStringConvertible, Equatable {
    /// The loss or the gradient's norm is NaN or infinite; nothing has been updated.
    case notFinite(step: Int, loss: Double, gradientNorm: Double, learningRate: Double)

    public var description: String {
        switch self {
        case .notFinite(let step, let loss, let norm, let rate):
            "step \(step): the loss is \(loss) and the gradient norm \(norm) at learning rate \(rate); lower the learning rate or lengthen the warm-up"
        }
    }
}
