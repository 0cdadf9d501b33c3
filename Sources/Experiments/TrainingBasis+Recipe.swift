import Checkpoints
import Models
import Recipes
import Training

extension TrainingBasis {
    /// The basis of a training as `train` has it.
    init(_ train: TrainRecipe) {
        // A recipe without 'uptrain' has these: its decoding refuses it otherwise.
        let (steps, peak) = (train.steps ?? 1, train.learningRate ?? 0)
        let shape: LearningRateSchedule.Shape =
            switch train.schedule {
            case .cosine: .cosine
            case .linear: .linear
            case .wsd: .wsd
            case .constant: .constant
            }
        let schedule = LearningRateSchedule(
            shape: shape, peak: peak, final: peak * train.minLearningRateRatio, warmupSteps: train.warmupSteps, steps: steps,
            decayFraction: train.decayFraction)
        self.init(steps: steps, batch: train.batch ?? 1, seq: train.seq ?? 1, schedule: schedule)
    }

    /// What `uptrain` makes of a parent's basis: a share of its steps, its schedule rescaled to them, peak and batch unless set.
    func uptraining(_ uptrain: UptrainRecipe) -> TrainingBasis {
        var copy = self
        copy.steps = SweepRecipe.steps(uptrain.alpha, of: baseSteps)
        if let batch = uptrain.batch { copy.batch = batch }
        if let rate = uptrain.learningRate {
            copy.schedule.final *= rate / copy.schedule.peak
            copy.schedule.peak = rate
        }
        return copy
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
