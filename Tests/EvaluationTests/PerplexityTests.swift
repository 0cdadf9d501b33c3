import Foundation
import Inference
import Kernels
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

    @Test(arguments: [
        "dtype=int8", "dtype=kivi4", "dtype=bf16,evict=h2o,budget=20,interval=16", "dtype=int8,evict=snapkv,budget=20,window=8",
    ])
    func `losses of training through a cache are those of an evaluation through it`(spec: String) throws {
        let (config, window) = (TinyModel.config(maxSequence: 96), windows([93])[0])
        let parameters = TinyModel.parameters(config)
        let (cache, serving) = (try CacheSpec(spec), try ServingModel(config: config, parameters: parameters))
        var options = EvaluationCache(
            encoding: cache.encoding, retention: try cache.retention(), pageBytes: PageSize.bytes(for: [config], cache.encoding))
        // Chunks are cut elsewhere than blocks, and the prompt elsewhere than chunks.
        (options.prompt, options.chunk) = (40, 23)
        let evaluated = try CachedPerplexity.evaluate(serving, [window], through: options)
        let whole = try CachedPerplexity.evaluate(
            serving, [window], through: EvaluationCache(encoding: .float32, pageBytes: PageSize.bytes(for: [config], .float32)))
        var input = ModelInput(batch: 1, seq: window.inputs.count, tokens: window.inputs)
        input.cache = try CacheView(of: input, serving, cache.encoding, cache.retention(), prompt: options.prompt)
        let losses = try DecoderLM(config: config, parameters: parameters).losses(input, targets: window.targets).suffix(53)
        func distance(_ a: some Sequence<Float>, _ b: some Sequence<Float>) -> Double {
            zip(a, b).reduce(0) { $0 + Double($1.0 - $1.1) * Double($1.0 - $1.1) }.squareRoot()
        }
        let found = evaluated.score.tokens.map(\.nll)
        // A value between two codes may be encoded to either, one of thousands.
        #expect(found.count == 53 && distance(losses, found) < 0.05 * distance(found, whole.score.tokens.map(\.nll).suffix(53)))
    }
}
