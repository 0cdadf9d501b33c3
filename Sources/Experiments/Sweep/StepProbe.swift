import Checkpoints
import Models
import Random
import Text
import Training

/// The speed of training a model on this machine, measured by a step of it.
struct StepProbe {
    /// The model.
    var checkpoint: Checkpoint
    /// Sequences of a step's part.
    var batch: Int
    /// Tokens of a sequence.
    var seq: Int
    /// Precision and activation checkpointing.
    var compute: ComputeOptions
    /// Whether the step is distilled, with the model as its own teacher.
    var isDistilled: Bool

    /// Floating-point operations a second of a step's products, over random tokens; the first step, which allocates the memory, is not
    /// timed.
    func flopsPerSecond() throws -> Double {
        let config = checkpoint.config
        let weights = TrainableWeights(checkpoint.parameters)
        var optimizer = AdamW(.init(), weights: weights)
        var settings = TrainingStep.Settings(learningRate: 0)
        settings.earlier = try DecoderLM(config: config, parameters: weights.parameters)
        settings.compute = compute
        if isDistilled {
            var teacher = try DecoderLM(config: config, parameters: checkpoint.parameters)
            teacher.compute.precision = compute.precision
            settings.distillation = Distillation(teacher: teacher)
        }
        var seconds = 0.0
        for seed in 1...2 {
            let part = tokens(seed: UInt64(seed))
            let clock = ContinuousClock()
            let start = clock.now
            _ = try TrainingStep.run(config: config, weights: weights, optimizer: &optimizer, parts: [part], settings)
            seconds = (clock.now - start) / .seconds(1)
        }
        let flops = RunEstimate.flopsPerToken(config, teacher: isDistilled ? config : nil, seq: seq)
        return Double(batch * seq) * flops / seconds
    }

    private func tokens(seed: UInt64) -> TokenBatch {
        var generator = SeededGenerator(seed: seed)
        let ids = (0...batch * seq).map { _ in Int32.random(in: 0..<Int32(checkpoint.config.vocabularySize), using: &generator) }
        return TokenBatch(batch: batch, seq: seq, tokens: Array(ids.dropLast()), targets: Array(ids.dropFirst()))
    }
}
