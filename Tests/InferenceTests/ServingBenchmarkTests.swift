import Testing

@testable import Inference

@Suite struct ServingBenchmarkTests {
    @Test func `the tokens generated are counted, and outputs that the context would cut are refused`() async throws {
        let engine = try EngineFixture().engine
        var benchmark = ServingBenchmark()
        (benchmark.batch, benchmark.prompt, benchmark.output) = (3, 100, 28)
        let result = try await benchmark.run(engine, seed: 1)
        #expect(result.generatedTokens == 3 * 28 && result.outputTokensPerSecond > 0)
        benchmark.output = 64
        await #expect(throws: InferenceError.tooManyTokens(164, limit: 128)) { try await benchmark.run(engine, seed: 1) }
    }
}
