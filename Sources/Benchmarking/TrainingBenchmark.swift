import Autograd
import Kernels
import Models
import Random
import Text
import Training

/// The shapes and the loop that `kvlab bench train` times.
public enum TrainingBenchmark {
    /// A named model and batch shape.
    public struct Shape: Sendable {
        /// T0 … T4.
        public var name: String
        /// The model; tied embeddings.
        public var config: ModelConfig
        /// Sequences a step.
        public var batch: Int
        /// Tokens in each.
        public var seq: Int

        /// Floating-point operations of the matrix products of one step (forward and backward), attention's causal half included.
        public var flopsPerStep: Double { 3 * flopsPerForward }

        /// The same of a forward pass.
        public var flopsPerForward: Double { 2 * Double(batch * seq) * config.matrixParametersPerToken(seq: seq) }
    }

    /// Every shape, smallest first.
    public static let shapes: [Shape] = [
        make("T0", 128, 4, 4, 4, 344, 2048, 256, 16), make("T1", 256, 6, 8, 8, 688, 4096, 256, 16),
        make("T2", 512, 8, 8, 8, 1376, 8192, 512, 8), make("T3", 512, 8, 8, 2, 1376, 8192, 512, 8),
        make("T4", 512, 8, 8, 1, 1376, 8192, 512, 8),
    ]

    private static func make(
        _ name: String, _ dim: Int, _ layers: Int, _ heads: Int, _ kvHeads: Int, _ ffn: Int, _ vocab: Int, _ seq: Int,
        _ batch: Int
    ) -> Shape {
        Shape(
            name: name,
            config: ModelConfig(
                vocabularySize: vocab, hiddenSize: dim, feedForwardSize: ffn, layers: layers, heads: .all(heads),
                kvHeads: .all(kvHeads),
                headDim: .all(dim / heads), maxSequence: seq), batch: batch, seq: seq)
    }

    /// Random token ids with each next one as target.
    public static func batch(_ shape: Shape, seed: UInt64) -> TokenBatch {
        var generator = SeededGenerator(seed: seed)
        let ids = (0...shape.batch * shape.seq).map { _ in
            Int32.random(in: 0..<Int32(shape.config.vocabularySize), using: &generator)
        }
        return TokenBatch(batch: shape.batch, seq: shape.seq, tokens: Array(ids.dropLast()), targets: Array(ids.dropFirst()))
    }

    /// Seconds each of `steps` whole training steps took, after two untimed ones; with `profile`, op by op as well.
    public static func trainingSteps(
        _ shape: Shape, _ compute: ComputeOptions = ComputeOptions(), steps: Int, profile: Bool = false
    ) throws -> (seconds: [Double], profile: [OpProfile.Entry]) {
        let weights = TrainableWeights(.initialized(for: shape.config, seed: 1))
        var optimizer = AdamW(.init(), weights: weights)
        let batch = batch(shape, seed: 2)
        var settings = TrainingStep.Settings(learningRate: 1e-3)
        settings.compute = compute
        settings.earlier = try DecoderLM(config: shape.config, parameters: weights.parameters)
        let clock = ContinuousClock()
        var seconds: [Double] = []
        let warmup = 2
        for step in 0..<warmup + steps {
            if step == warmup, profile { OpProfile.start() }
            let start = clock.now
            _ = try TrainingStep.run(config: shape.config, weights: weights, optimizer: &optimizer, parts: [batch], settings)
            if step >= warmup { seconds.append((clock.now - start) / .seconds(1)) }
        }
        return (seconds, profile ? OpProfile.finish() : [])
    }

    /// Seconds each of `passes` forward passes with their losses took, after an untimed one.
    public static func forwardPasses(_ shape: Shape, _ compute: ComputeOptions = ComputeOptions(), passes: Int) throws -> [Double]
    {
        var model = try DecoderLM(config: shape.config, parameters: .initialized(for: shape.config, seed: 1))
        model.compute = compute
        let batch = batch(shape, seed: 2)
        let clock = ContinuousClock()
        return (0...passes).map { _ in
            clock.measure { _ = model.losses(ModelInput(batch), targets: batch.targets) } / .seconds(1)
        }.suffix(passes)
    }
}
