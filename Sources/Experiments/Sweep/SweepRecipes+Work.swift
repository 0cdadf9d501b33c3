import Kernels
import Models
import Recipes
import Text
import Training

/// The work of the plan's steps, before any of it is done.
extension SweepRecipes {
    /// The work of a step's training for `steps` optimizer steps; nil for a step without one, or one that is refused where it is made.
    func runShape(of step: SweepStep, steps: Int) throws -> RunShape? {
        guard step.kind != .converted, step.kind != .parent || step.given == nil else { return nil }
        let vocabulary = try vocabularySize()
        guard let config = try shape(of: step, vocabularySize: vocabulary) else { return nil }
        let (batch, seq) = batch(of: step)
        let teaches = step.kind == .child && lab.uptrain.distill != nil
        let teacher = try step.parent.flatMap { teaches ? try shape(of: plan.steps[$0], vocabularySize: vocabulary) : nil }
        return RunShape(
            config: config, teacher: teacher, learnsLayers: teaches && (lab.uptrain.distill?.hidden ?? 0) > 0, steps: steps,
            batch: batch, seq: seq, accumulation: recipe.train.accumulation,
            compute: ComputeOptions(precision: recipe.train.dtype, recompute: recipe.train.recompute),
            startingBytes: 4 * config.parameterCount, cache: try training(through: step, config))
    }

    /// The training of a step's model through the recipe's compressed cache; nil for a step that is not trained through it.
    ///
    /// Throws ``ExperimentError/recipe(key:reason:)`` where a model of `config` cannot be trained through it.
    func training(through step: SweepStep, _ config: ModelConfig) throws(ExperimentError) -> CompressedTraining? {
        guard step.through != nil, let through = lab.uptrain.through else { return nil }
        return try CompressedTraining(
            through, config, seq: batch(of: step).seq, packing: recipe.data.packing, section: "lab.through")
    }

    /// Sequences of a training step, and their tokens.
    private func batch(of step: SweepStep) -> (batch: Int, seq: Int) {
        if let given = step.given, let basis = step.length.flatMap({ parents[given].bases[$0] }) {
            return (basis.batch, basis.seq)
        }
        let train = recipe.train
        guard step.kind != .parent else { return (train.batch ?? 1, train.seq ?? 1) }
        return (lab.uptrain.batch ?? train.batch ?? 1, lab.uptrain.seq ?? train.seq ?? 1)
    }

    /// The vocabulary of models that the lab trains; of a tokenizer that has yet to be trained the most that it can have.
    private func vocabularySize() throws -> Int {
        guard let tokenizer = recipe.tokenizer else { return 256 }
        switch tokenizer.kind {
        case .byte: return ByteTokenizer().vocabularySize
        case .bpe: return tokenizer.vocabSize ?? 257
        case .file: return try TokenizerFile.load(tokenizer.path ?? "").vocabularySize
        }
    }
}
