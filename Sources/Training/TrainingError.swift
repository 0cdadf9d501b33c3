import Checkpoints

/// A reason why a training run stops or cannot start.
public enum TrainingError: Error, CustomStringConvertible, Equatable {
    /// The loss or the gradient's norm is NaN or infinite; no weight was updated.
    case notFinite(step: Int, loss: Double, gradientNorm: Double, learningRate: Double)
    /// As ``notFinite(step:loss:gradientNorm:learningRate:)``, with the last checkpoint of finite weights.
    case diverged(step: Int, loss: Double, gradientNorm: Double, learningRate: Double, checkpoint: String?)
    /// A run cannot be resumed from a checkpoint.
    case noTrainingState(String)
    /// A directory holds a run of another recipe.
    case otherRecipe(directory: String)
    /// A directory holds a run with other inputs: the content of texts, tokenizer or models has changed since.
    case changedInputs(directory: String, [InputDigests.Change])
    /// A directory holds a run with another tokenizer than its texts give now.
    case otherTokenizer(directory: String)
    /// A directory holds a run already.
    case runExists(directory: String)
    /// A figure that JSON cannot represent.
    case unwritableMetrics(path: String, step: Int)
    /// The directory holds no run to resume.
    case nothingToResume(directory: String)
    /// The directory holds a finished run without its training state.
    case finishedBefore(directory: String)

    /// Whether the error comes from changed inputs, which starting the run anew resolves.
    public var isOfInputs: Bool {
        switch self {
        case .changedInputs, .otherTokenizer: true
        default: false
        }
    }

    /// The sentence for the user: the fault, its place, and the next step or option.
    public var description: String {
        switch self {
        case .notFinite(let step, let loss, let norm, let rate):
            "step \(step): the loss is \(loss) and the gradient norm \(norm) at learning rate \(rate); lower the learning rate or lengthen the warm-up"
        case .diverged(let step, let loss, let norm, let rate, let checkpoint):
            "step \(step): the loss is \(loss) and the gradient norm \(norm) at learning rate \(rate); lower the learning rate or lengthen the warm-up. "
                + (checkpoint.map { "The last good checkpoint is \($0)" } ?? "No checkpoint has been written yet")
        case .noTrainingState(let reason):
            "cannot resume: \(reason); only the checkpoint.h5 that kvlab train writes can be resumed"
        case .otherRecipe(let directory):
            "\(directory) holds a run of another recipe; resume with that recipe, or choose another directory with --out"
        case .changedInputs(let directory, let changes):
            changes.map {
                "\($0.path ?? $0.key) ('\($0.key)') has changed since \(directory) was begun: its SHA-256 was \($0.recorded), now it is \($0.found). "
            }.joined()
                + "Put the old content back, choose another directory with --out, or go on with --resume --force"
        case .otherTokenizer(let directory):
            "\(directory) holds a run with another tokenizer, which its model cannot change; choose another directory with --out"
        case .runExists(let directory):
            "\(directory) holds a run already; go on with --resume, or choose another directory with --out"
        case .unwritableMetrics(let path, let step): "\(path): step \(step) has a figure that is not finite"
        case .finishedBefore(let directory):
            "\(directory) holds a finished run, model.h5, without the training state to go on from; choose another directory with --out"
        case .nothingToResume(let directory):
            "\(directory)/checkpoint.h5 is not there: nothing to resume; start without --resume"
        }
    }
}
