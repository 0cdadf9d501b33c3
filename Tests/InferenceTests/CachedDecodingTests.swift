import Models
import Random
import TestSupport
import Testing

@testable import Inference

@Suite struct CachedDecodingTests {
    @Test(arguments: [4, 2, 1], [true, false]) func `cached logits equal uncached ones, however the tokens are cut`(
        kvHeads: Int, tied: Bool
    ) throws {
        let config = TinyModel.config(kvHeads: kvHeads, tied: tied)
        let parameters = TinyModel.parameters(config)
        let model = try ServingModel(config: config, parameters: parameters)
        let ids = (0..<23).map { Int32(($0 * 17 + 5) % 61) }
        let full = try DecoderLM(config: config, parameters: parameters)
            .logits(ModelInput(batch: 1, seq: ids.count, tokens: ids)).values
        for cuts in [[23], [1, 22], [7, 9, 7], [Int](repeating: 1, count: 23)] {
            var cache = ContiguousKVCache(config: config, capacity: 32)
            var start = 0
            for count in cuts {
                let step = RaggedBatch(sequences: [0], counts: [count], tokens: Array(ids[start..<start + count]))
                let logits = model.logits(step, cache: &cache).array()
                start += count
                // Another order of summation over at most 23 keys and 48 inputs: rounding of some 1e-6 of logits near 1.
                #expect(
                    differences(logits, Array(full[(start - 1) * 61..<start * 61]), absolute: 2e-5).isEmpty, "\(cuts) at \(start)"
                )
            }
            #expect(cache.length(of: 0) == 23)
        }
    }

    @Test func `sequences of a ragged batch do not see each other`() throws {
        let config = TinyModel.config()
        let parameters = TinyModel.parameters(config)
        let model = try ServingModel(config: config, parameters: parameters)
        let reference = try DecoderLM(config: config, parameters: parameters)
        let a: [Int32] = [3, 1, 4, 1, 5]
        let b: [Int32] = [2, 7, 1]
        var cache = ContiguousKVCache(config: config, sequences: 2, capacity: 8)
        let both = model.logits(RaggedBatch(sequences: [0, 1], counts: [5, 3], tokens: a + b), cache: &cache).array()
        for (row, ids) in [a, b].enumerated() {
            let alone = reference.logits(ModelInput(batch: 1, seq: ids.count, tokens: ids)).values.suffix(61)
            #expect(differences(Array(both[row * 61..<(row + 1) * 61]), Array(alone), absolute: 2e-5).isEmpty)
        }
        #expect(cache.bytesHeld == 8 * config.kvBytesPerToken(.float32))
    }

    @Test func `the same seed continues the same, and a stop token ends it`() throws {
        let config = TinyModel.config()
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        func draw(_ seed: UInt64, stops: Set<Int32> = []) -> [Int32] {
            var random = SeededGenerator(seed: seed)
            return Generator(model: model, sampler: Sampler(temperature: 1), stops: stops)
                .continuation(of: [1, 2, 3], count: 20, generator: &random)
        }
        let ids = draw(1)
        #expect(ids.count == 20 && ids == draw(1) && ids != draw(2))
        #expect(draw(1, stops: [ids[7]]).count <= 7)
    }

    @Test func `a continuation ends where the model's positions do`() throws {
        let config = TinyModel.config(maxSequence: 10)
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        var random = SeededGenerator(seed: 1)
        // Ten positions read, and what the tenth predicts.
        #expect(Generator(model: model).continuation(of: [1, 2, 3, 4], count: 50, generator: &random).count == 7)
    }
}
