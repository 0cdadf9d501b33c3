import Kernels
import Models
import TestSupport
import Testing
import Text

@testable import Inference

/// Tiny models behind an engine, and what they answer alone.
struct EngineFixture {
    let engine: Engine
    let models: [DecoderLM]

    init(
        kvHeads: [Int] = [2], pages: Int = 400, deviation: Double = 0.2,
        _ change: (inout EngineOptions) throws -> Void = { _ in },
        configure: (inout ModelConfig, Int) throws -> Void = { _, _ in }
    ) throws {
        let tokenizer = ByteTokenizer()
        var engineModels: [EngineModel] = []
        var models: [DecoderLM] = []
        for (index, heads) in kvHeads.enumerated() {
            var config = TinyModel.config(
                vocabulary: tokenizer.vocabularySize, kvHeads: heads, headDim: 16, maxSequence: 128)
            try configure(&config, index)
            let parameters = TinyModel.parameters(config, seed: UInt64(index + 1), deviation: deviation)
            models.append(try DecoderLM(config: config, parameters: parameters))
            engineModels.append(
                EngineModel(
                    name: "m\(index)", model: try ServingModel(config: config, parameters: parameters), tokenizer: tokenizer,
                    stopIDs: []))
        }
        var options = EngineOptions()
        options.pageBytes = 1024
        options.cacheBytes = pages * 1024
        options.guaranteedShare = 0.2
        options.checksEachStep = true
        try change(&options)
        engine = try Engine(models: engineModels, options: options)
        self.models = models
    }

    static func prompt(_ length: Int, _ seed: Int = 0) -> [Int32] { (0..<length).map { Int32(($0 * 31 + seed * 17 + 7) % 251) } }

    /// The greedy continuation by the training form's passes over whole sequences, which know no cache.
    func expected(_ prompt: [Int32], _ count: Int, model index: Int = 0) -> [Int32] {
        let model = models[index]
        var ids = prompt
        for _ in 0..<min(count, model.config.maxSequence - prompt.count + 1) {
            let input = ModelInput(batch: 1, seq: ids.count, tokens: ids)
            ids.append(Sampler.greedy(model.logits(input, rows: [Int32(ids.count - 1)]).values))
        }
        return Array(ids[prompt.count...])
    }

    func request(_ prompt: [Int32], _ count: Int, model: Int = 0, _ change: (inout GenerationRequest) -> Void = { _ in })
        -> GenerationRequest
    {
        var sampling = SamplingOptions()
        sampling.maxTokens = count
        sampling.temperature = 0
        var request = GenerationRequest(model: model, prompt: prompt, sampling: sampling)
        change(&request)
        return request
    }

    /// Steps to the end; an engine that turns round and round fails instead of hanging.
    func finish(within steps: Int = 20_000) async {
        for _ in 0..<steps { guard await engine.step() else { return } }
        Issue.record("not done after \(steps) steps")
    }
}

/// What a request gave.
struct Answer {
    var tokens: [Int: [SampledToken]] = [:]
    var texts: [Int: String] = [:]
    var reasons: [Int: FinishReason] = [:]
    var prompt: [SampledToken] = []
    var cached = 0
    var compressSeconds = 0.0

    var ids: [Int32] { tokens[0]?.map(\.id) ?? [] }

    init(_ generation: Generation) async {
        for await event in generation.events {
            switch event {
            case .prompt(let tokens, let cached, _, let compress):
                (prompt, self.cached, compressSeconds) = (tokens, cached, compress)
            case .token(let index, let token, let text):
                tokens[index, default: []].append(token)
                texts[index, default: ""] += text
            case .finished(let index, let reason, let text):
                reasons[index] = reason
                texts[index, default: ""] += text
            }
        }
    }
}
