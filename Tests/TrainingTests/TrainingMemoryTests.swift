import Kernels
import Models
import TestSupport
import Testing
import Text

@testable import Training

/// The memory of training, estimated from shapes, beside the measured peak of the pool.
@Suite struct TrainingMemoryTests {
    /// A model and the steps that it is trained in.
    private struct Case: Sendable {
        var name: String
        var change: @Sendable (inout ModelConfig) -> Void = { _ in }
        var compute = ComputeOptions()
        var parts = 1
        var isDistilled = false
        var hidden = 0.0
        var cache: CompressedTraining?
    }

    private static let cases = [
        Case(name: "GQA"),
        Case(name: "bf16", compute: ComputeOptions(precision: .bf16)),
        Case(name: "recomputed", compute: ComputeOptions(recompute: .block)),
        Case(name: "in parts", parts: 2),
        Case(name: "distilled", isDistilled: true),
        Case(name: "distilled from layers", parts: 2, isDistilled: true, hidden: 1),
        Case(name: "latent") { $0.latent = LatentShape(rank: 48, ropeHeadDim: 16, valueHeadDim: 32) },
        Case(name: "QK-norm") { $0.hasQueryKeyNorm = true },
        Case(name: "through int8", cache: CompressedTraining(.int8)),
        Case(name: "through kivi4", cache: CompressedTraining(.kivi4)),
        Case(
            name: "latent through kivi4", change: { $0.latent = LatentShape(rank: 48, ropeHeadDim: 16, valueHeadDim: 32) },
            cache: CompressedTraining(.kivi4)),
        Case(name: "LayerNorm and GELU") { ($0.hasLayerNorm, $0.activation) = (true, .gelu) },
    ]

    private static func batch(_ count: Int, seq: Int, vocabulary: Int) -> TokenBatch {
        let ids = (0...count * seq).map { Int32($0 * 7919 % vocabulary) }
        return TokenBatch(batch: count, seq: seq, tokens: Array(ids.dropLast()), targets: Array(ids.dropFirst()))
    }

    /// The estimate and the peak of three steps of `example`, in bytes.
    private static func bytes(_ example: Case) throws -> (estimate: Int, peak: Int) {
        var config = ModelConfig(
            vocabularySize: 2048, hiddenSize: 128, feedForwardSize: 384, layers: 5, heads: .all(4), kvHeads: .all(2),
            headDim: .all(32), maxSequence: 128)
        example.change(&config)
        StoragePool.shared.trim()
        let before = StoragePool.shared.statistics.bytesInUse
        let weights = TrainableWeights(.initialized(for: config, seed: 1))
        var optimizer = AdamW(.init(), weights: weights)
        var settings = TrainingStep.Settings(learningRate: 1e-3)
        (settings.compute, settings.cache) = (example.compute, example.cache)
        if example.isDistilled {
            let teacher = try DecoderLM(config: config, parameters: .initialized(for: config, seed: 2))
            settings.distillation = Distillation(teacher: teacher, hidden: example.hidden)
        }
        let part = batch(6, seq: 128, vocabulary: config.vocabularySize)
        StoragePool.shared.resetPeak()
        for _ in 0..<3 {
            _ = try TrainingStep.run(
                config: config, weights: weights, optimizer: &optimizer,
                parts: [TokenBatch](repeating: part, count: example.parts), settings)
        }
        let memory = TrainingMemory(
            config, tokens: part.tokens.count, parts: example.parts, compute: example.compute,
            teacher: example.isDistilled ? config : nil, learnsLayers: example.hidden > 0, cache: example.cache)
        return (memory.total, StoragePool.shared.statistics.peakBytesInUse - before)
    }

    @Test func `the estimate is within a tenth of the measured peak for every kind of model and step`() async {
        // In a process of its own, where no other test allocates.
        await #expect(processExitsWith: .success) {
            for example in Self.cases {
                let (estimate, peak) = try Self.bytes(example)
                let ratio = Double(estimate) / Double(peak)
                precondition((0.9...1.1).contains(ratio), "\(example.name): \(estimate) bytes estimated, \(peak) measured")
            }
        }
    }
}
