import Foundation
import Models
import TestSupport
import Testing

@testable import Evaluation

@Suite struct PerplexityTests {
    private let config = TinyModel.config()

    private func windows(_ lengths: [Int]) -> [EvaluationWindow] {
        lengths.enumerated().map { index, count in
            let ids = (0...count).map { Int32(($0 * 7 + index * 13) % 61) }
            return EvaluationWindow(
                inputs: Array(ids.dropLast()), targets: Array(ids.dropFirst()), scoredTokens: count, scoredBytes: count,
                scoredEnds: Array(1...count))
        }
    }

    @Test func `batching windows of different lengths changes nothing`() throws {
        let model = try DecoderLM(config: config, parameters: TinyModel.parameters(config))
        let windows = windows([5, 9, 1, 17, 3])
        let together = try Perplexity.evaluate(model, windows, batchTokens: 1000)
        let alone = try Perplexity.evaluate(model, windows, batchTokens: 1)
        for (a, b) in zip(together.windows, alone.windows) { #expect(abs(a.nll - b.nll) < 1e-4 * b.nll) }
        #expect(together.tokens.map(\.end) == alone.tokens.map(\.end))
        #expect(together.tokensScored == 35)
    }

    @Test func `a model that knows nothing has the vocabulary's size as perplexity`() throws {
        let model = try DecoderLM(config: config, parameters: TinyModel.parameters(config, deviation: 1e-9))
        let result = try Perplexity.evaluate(model, windows([20, 20]))
        #expect(abs(result.perplexity - 61) < 1e-3)
        #expect(abs(result.bitsPerByte - log2(61)) < 1e-5)
    }

    @Test func `a model diverges from itself by nothing and from another by something`() throws {
        let model = try DecoderLM(config: config, parameters: TinyModel.parameters(config))
        let other = try DecoderLM(config: config, parameters: TinyModel.parameters(config, seed: 2))
        #expect(abs(try Divergence.meanKL(parent: model, child: model, windows([9, 5]))) < 1e-6)
        #expect(try Divergence.meanKL(parent: model, child: other, windows([9, 5])) > 0.01)
    }
}
