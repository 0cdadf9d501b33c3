import Checkpoints
import Models
import Recipes
import Training

extension TrainingBasis {
    /// The basis of a training as `train` has it.
    init(_ train: TrainRecipe) {
        // A recipe without 'uptrain' has these: its decoding refuses it otherwise.
        let (steps, peak) = (train.steps ?? 1, train.learningRate ?? 0)
        let schedule = LearningRateSchedule(
            shape: train.schedule, peak: peak, final: peak * train.minLearningRateRatio, warmupSteps: train.warmupSteps,
            steps: steps, decayFraction: train.decayFraction)
        self.init(steps: steps, batch: train.batch ?? 1, seq: train.seq ?? 1, schedule: schedule)
    }

    /// The basis of an uptraining by `uptrain` of the model at `path`, which was trained as `parent` says; nil where it doesn't say.
    ///
    /// Batch, sequence and peak are the uptraining's own or the parent's, whose schedule is rescaled; a parent that doesn't say how it was
    /// trained leaves these to the uptraining, and the schedule's shape to `train`. Throws ``ExperimentError/recipe(key:reason:)`` where
    /// one of them is said by neither, or a share of an unknown number of steps is asked for.
    ///
    /// - Parameters:
    ///   - section: the recipe's section that says them.
    ///   - lengthKey: the key of a share; nil: the section's `alpha`.
    init(
        uptraining parent: TrainingBasis?, _ uptrain: UptrainRecipe, _ train: TrainRecipe, of path: String,
        section: String = "uptrain", lengthKey: String? = nil
    ) throws(ExperimentError) {
        if let parent {
            self = parent
        } else {
            try self.init(unknown: uptrain.settings, train, of: path, section: section)
        }
        if let batch = uptrain.settings.batch { self.batch = batch }
        // Samples of another length are other ones: none of them is known to have been read.
        if let seq = uptrain.settings.seq, seq != self.seq { (self.seq, nextSample) = (seq, 0) }
        if let rate = uptrain.settings.learningRate {
            schedule.final *= rate / schedule.peak
            schedule.peak = rate
        }
        let stepTokens = batch * seq
        if let tokens = uptrain.settings.parentTokens { baseSteps = UptrainLength.steps(tokens: tokens, stepTokens: stepTokens) }
        guard let steps = uptrain.length.steps(ofParent: baseSteps, stepTokens: stepTokens) else {
            throw .recipe(
                key: lengthKey ?? section + ".alpha",
                reason: "\(path) doesn't say how long it was trained; give its tokens as 'parentTokens', or 'steps' or 'tokens' "
                    + "in place of a share")
        }
        self.steps = steps
        if parent == nil {
            schedule.steps = steps
            if let fault = train.scheduleFault(in: steps) { throw .recipe(key: "train.\(fault.key)", reason: fault.reason) }
        }
        guard batch % train.accumulation == 0 else {
            throw .recipe(
                key: "train.accumulation",
                reason: "a batch of \(batch) cannot be cut in \(train.accumulation) equal parts")
        }
    }

    /// The basis where nothing is known of the parent's training.
    private init(
        unknown settings: UptrainSettings, _ train: TrainRecipe, of path: String, section: String
    ) throws(ExperimentError) {
        var train = train
        (train.batch, train.seq, train.learningRate) = (settings.batch, settings.seq, settings.learningRate)
        let missing = [
            ("batch", train.batch == nil), ("seq", train.seq == nil), ("learningRate", train.learningRate == nil),
        ].filter(\.1).map { "'\($0.0)'" }
        guard missing.isEmpty else {
            throw .recipe(
                key: section, reason: "\(path) doesn't say how it was trained; give \(missing.joined(separator: " and ")) here")
        }
        self.init(train)
        baseSteps = nil
    }

    /// The plan of a run with this basis and the recipe's other settings.
    func plan(_ recipe: Recipe) -> TrainingPlan {
        let train = recipe.train
        func positive(_ value: Int) -> Int? { value > 0 ? value : nil }
        return TrainingPlan(
            steps: steps, batch: batch, accumulation: train.accumulation,
            schedule: steps == schedule.steps ? schedule : schedule.rescaled(to: steps),
            optimizer: AdamW.Settings(
                beta1: train.beta1, beta2: train.beta2, epsilon: train.epsilon, weightDecay: train.weightDecay),
            clip: train.clip > 0 ? train.clip : nil, dropout: train.dropout,
            compute: ComputeOptions(precision: train.dtype, recompute: train.recompute),
            seed: UInt64(recipe.uptrain?.seed ?? recipe.seed),
            firstSample: nextSample,
            validateEvery: positive(train.validateEvery), sampleEvery: positive(train.sampleEvery),
            checkpointEvery: positive(train.checkpointEvery))
    }
}
