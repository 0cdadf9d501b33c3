import Inference
import Models
import TestSupport
import Testing
import Text

@testable import Benchmarking

@Suite struct ServingBenchmarkTests {
    @Test func `the tokens generated are counted, and outputs that the context would cut are refused`() async throws {
        let tokenizer = ByteTokenizer()
        let config = TinyModel.config(vocabulary: tokenizer.vocabularySize, kvHeads: 2, headDim: 16, maxSequence: 128)
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config, seed: 1))
        var options = EngineOptions()
        options.cacheBytes = 400 << 10
        let engine = try Engine(
            models: [EngineModel(name: "m", model: model, tokenizer: tokenizer, stopIDs: [])], options: options)
        var benchmark = ServingBenchmark()
        (benchmark.batch, benchmark.prompt, benchmark.output) = (3, 100, 28)
        let result = try await benchmark.run(engine, seed: 1)
        #expect(result.generatedTokens == 3 * 28 && result.outputTokensPerSecond > 0)
        benchmark.output = 64
        await #expect(throws: InferenceError.tooManyTokens(164, limit: 128)) { try await benchmark.run(engine, seed: 1) }
    }
}
