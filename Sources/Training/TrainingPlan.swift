import Checkpoints
import Models
import Text

/// The plan of a training run: everything that determines its result beside the initial weights.
public struct TrainingPlan: Sendable {
    /// Optimizer steps in all.
    public var steps: Int
    /// Sequences of a step, over all its micro-batches.
    public var batch: Int
    /// Micro-batches of a step (gradient accumulation); divides `batch`.
    public var accumulation: Int
    /// Learning rate of each step.
    public var schedule: LearningRateSchedule
    /// AdamW's hyperparameters.
    public var optimizer: AdamW.Settings
    /// Limit on the gradient's global norm; nil for none.
    public var clip: Double?
    /// Dropout rate on the embedding and the residual branches.
    public var dropout: Double
    /// Precision of the products, and activation checkpointing.
    public var compute: ComputeOptions
    /// Seed of dropout and samples; data has its own.
    public var seed: UInt64
    /// Global index of the run's first sample: where the parent's data ended, 0 for a fresh model.
    public var firstSample: Int
    /// Steps between validations; nil for only the last.
    public var validateEvery: Int?
    /// Steps between sampled continuations; nil for none.
    public var sampleEvery: Int?
    /// Steps between checkpoints; nil for only the last.
    public var checkpointEvery: Int?
    /// Distillation from a teacher beside the text; nil for none.
    public var distillation: Distillation?
    /// The compressed cache that the model is trained and validated through; nil for none.
    public var cache: CompressedTraining?
    /// Early stopping; nil for none.
    public var stop: StopCriterion?
    /// First steps in which only the attention's key, value and output projections are updated.
    public var keyValueSteps = 0

    /// A plan; by default a step has one micro-batch, gradients are clipped at norm 1, and only the last step validates and
    /// saves.
    public init(
        steps: Int, batch: Int, accumulation: Int = 1, schedule: LearningRateSchedule, optimizer: AdamW.Settings = .init(),
        clip: Double? = 1, dropout: Double = 0, compute: ComputeOptions = ComputeOptions(),
        seed: UInt64, firstSample: Int = 0, validateEvery: Int? = nil,
        sampleEvery: Int? = nil,
        checkpointEvery: Int? = nil
    ) {
        self.steps = steps
        self.batch = batch
        self.accumulation = accumulation
        self.schedule = schedule
        self.optimizer = optimizer
        self.clip = clip
        self.dropout = dropout
        self.compute = compute
        self.seed = seed
        self.firstSample = firstSample
        self.validateEvery = validateEvery
        self.sampleEvery = sampleEvery
        self.checkpointEvery = checkpointEvery
    }
}

/// The source of a run's tokens.
public struct TrainingData: Sendable {
    /// `count` samples from the global sample index `first` on: a function of these two and the data's seed alone.
    public var samples: @Sendable (_ first: Int, _ count: Int) -> TokenBatch
    /// Held-out sequences, the same at every validation.
    public var validation: [TokenBatch]

    /// Data from `samples`, which must be a pure function of its arguments: resuming relies on it.
    public init(samples: @escaping @Sendable (_ first: Int, _ count: Int) -> TokenBatch, validation: [TokenBatch]) {
        self.samples = samples
        self.validation = validation
    }

    /// The mean negative log-likelihood in nats of `model` over the held-out sequences; over `inputs`, where these are given, in place of
    /// their own.
    public func validationLoss(_ model: DecoderLM, _ inputs: [ModelInput]? = nil) -> Double {
        var total = 0.0
        var tokens = 0
        for (batch, input) in zip(validation, inputs ?? validation.map { ModelInput($0) }) {
            total += model.losses(input, targets: batch.targets).reduce(0) { $0 + Double($1) }
            tokens += batch.targets.count { $0 >= 0 }
        }
        return total / Double(max(tokens, 1))
    }
}
