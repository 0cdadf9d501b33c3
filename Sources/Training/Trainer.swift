import Checkpoints
import Files
import Foundation
import Kernels
import Models
import Random
import Text

/// The training loop, for training from scratch, for uptraining and for continuing the parent.
///
/// All randomness is a function of the plan, the step and the saved state, so that a resumed run equals the uninterrupted one bit
/// for bit at the same number of threads.
public final class Trainer {
    /// An event of a run.
    public enum Event: Sendable {
        /// A step was completed.
        case step(StepReport)
        /// The held-out loss after `step` steps, in nats per token.
        case validation(step: Int, loss: Double)
        /// A sampled continuation is due after `step` steps.
        case sampleDue(step: Int)
        /// A checkpoint is due after `step` steps.
        case checkpointDue(step: Int)
    }

    /// The report of one step.
    public struct StepReport: Sendable {
        /// Steps completed, this one included.
        public var step: Int
        /// Mean negative log-likelihood in nats over the step's tokens.
        public var loss: Double
        /// Learning rate used.
        public var learningRate: Double
        /// Global gradient norm before clipping.
        public var gradientNorm: Double
        /// Tokens read in the step.
        public var tokens: Int
        /// Wall-clock seconds of the step.
        public var seconds: Double
    }

    /// The model's configuration.
    public let config: ModelConfig
    /// The run's plan.
    public let plan: TrainingPlan
    /// Weights, updated in place.
    public let weights: TrainableWeights
    /// Steps completed.
    public private(set) var step = 0
    /// Tokens read by this run.
    public private(set) var tokensSeen = 0
    /// Whether the plan's ``TrainingPlan/stop`` has ended the run.
    public private(set) var reachedTarget = false
    private var optimizer: AdamW
    private let data: TrainingData
    private let template: DecoderLM

    /// A run that starts at the first step.
    public convenience init(config: ModelConfig, parameters: Parameters, plan: TrainingPlan, data: TrainingData) throws {
        try self.init(config, parameters, plan, data) { AdamW(plan.optimizer, weights: $0) }
    }

    /// A run resumed from the training state of `checkpoint`.
    ///
    /// Throws ``TrainingError/noTrainingState(_:)`` where the state is missing or does not fit.
    public convenience init(resuming checkpoint: Checkpoint, plan: TrainingPlan, data: TrainingData) throws {
        guard let saved = checkpoint.trainingState else { throw TrainingError.noTrainingState("the checkpoint holds none") }
        guard let position = try? JSONDecoder().decode(Position.self, from: Data(saved.json.utf8)) else {
            throw TrainingError.noTrainingState("its position cannot be read")
        }
        try self.init(checkpoint.config, checkpoint.parameters, plan, data) { weights in
            func moments(_ prefix: String) -> [String: Storage] {
                weights.entries.reduce(into: [:]) { $0[$1.name] = saved.arrays[prefix + $1.name] }
            }
            guard
                let restored = AdamW(
                    plan.optimizer, weights: weights, updates: position.step, firstMoments: moments("m/"),
                    secondMoments: moments("v/"))
            else { throw TrainingError.noTrainingState("its optimizer moments don't fit the weights") }
            return restored
        }
        step = position.step
        tokensSeen = position.tokensSeen
        reachedTarget = position.reachedTarget ?? false
    }

    private init(
        _ config: ModelConfig, _ parameters: Parameters, _ plan: TrainingPlan, _ data: TrainingData,
        optimizer: (TrainableWeights) throws -> AdamW
    ) throws {
        try parameters.validate(against: config)
        precondition(plan.batch % plan.accumulation == 0, "Trainer: batch \(plan.batch) in \(plan.accumulation) parts")
        self.config = config
        self.plan = plan
        self.data = data
        weights = TrainableWeights(parameters)
        template = try DecoderLM(config: config, parameters: weights.parameters)
        self.optimizer = try optimizer(weights)
    }

    /// Runs to the plan's last step, to its ``TrainingPlan/stop``, or to the end of the step in which `shouldStop` becomes true;
    /// returns whether the run finished.
    ///
    /// `observe` is called between steps; an error it throws ends the run. Validation runs every `validateEvery` steps and after
    /// the last one.
    public func run(shouldStop: () -> Bool = { false }, observe: (Event, Trainer) throws -> Void) throws -> Bool {
        let clock = ContinuousClock()
        while step < plan.steps, !reachedTarget {
            let start = clock.now
            let parts = (0..<plan.accumulation).map { part in
                let size = plan.batch / plan.accumulation
                return data.samples(plan.firstSample + step * plan.batch + part * size, size)
            }
            let learningRate = plan.schedule.rate(step)
            let dropout = plan.dropout > 0 ? ModelInput.Dropout(rate: Float(plan.dropout), seed: dropoutSeed) : nil
            var settings = TrainingStep.Settings(learningRate: learningRate, clip: plan.clip, dropout: dropout)
            settings.earlier = template
            settings.compute = plan.compute
            settings.distillation = plan.distillation
            settings.cache = plan.cache
            settings.part = step < plan.keyValueSteps ? .keyValueOutput : .all
            let result = try TrainingStep.run(
                config: config, weights: weights, optimizer: &optimizer, parts: parts, settings)
            let tokens = parts.reduce(0) { $0 + $1.tokens.count }
            step += 1
            tokensSeen += tokens
            try observe(
                .step(
                    StepReport(
                        step: step, loss: result.loss, learningRate: learningRate, gradientNorm: result.gradientNorm,
                        tokens: tokens,
                        seconds: (clock.now - start) / .seconds(1))), self)
            let looks = plan.stop.map { step % $0.every == 0 } ?? false
            if step == plan.steps || looks || isDue(plan.validateEvery) {
                let loss = try validationLoss()
                reachedTarget = looks && loss <= plan.stop?.loss ?? -.infinity
                try observe(.validation(step: step, loss: loss), self)
            }
            let last = step == plan.steps || reachedTarget
            if isDue(plan.sampleEvery) { try observe(.sampleDue(step: step), self) }
            let stopping = !last && shouldStop()
            if last || stopping || isDue(plan.checkpointEvery) { try observe(.checkpointDue(step: step), self) }
            if stopping { return false }
        }
        return true
    }

    /// The model with the current weights.
    public func model() throws -> DecoderLM { try DecoderLM(config: config, parameters: weights.parameters) }

    /// The mean negative log-likelihood in nats over the held-out sequences, through the plan's cache where it has one.
    public func validationLoss() throws -> Double {
        let inputs = try plan.cache?.through(data.validation.map { ModelInput($0) }, config, weights.parameters)
        return data.validationLoss(try model(), inputs)
    }

    /// The state that a resumed run needs beside the weights.
    public func trainingState() throws -> TrainingState {
        var arrays: [String: Storage] = [:]
        for entry in weights.entries {
            arrays["m/" + entry.name] = optimizer.firstMoments[entry.name]
            arrays["v/" + entry.name] = optimizer.secondMoments[entry.name]
        }
        let position = Position(step: step, tokensSeen: tokensSeen, reachedTarget: reachedTarget ? true : nil)
        return TrainingState(arrays: arrays, json: try CanonicalJSON.text(of: position))
    }

    private struct Position: Codable {
        var step: Int
        var tokensSeen: Int
        var reachedTarget: Bool?
    }

    private func isDue(_ every: Int?) -> Bool { every.map { $0 > 0 && step % $0 == 0 } ?? false }

    private var dropoutSeed: UInt64 {
        var generator = SeededGenerator(seed: plan.seed, stream: 0xD20, UInt64(step))
        return generator.next()
    }
}
