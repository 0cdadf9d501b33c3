import Inference
import Random
import Text

/// A benchmark of an engine in process: a batch of requests at once, random prompts, no text.
public struct ServingBenchmark: Sendable {
    /// Requests at once.
    public var batch = 32
    /// Tokens of a prompt, and how many of them all prompts share.
    public var prompt = 512, shared = 0
    /// Tokens generated for each.
    public var output = 64
    /// Whether the shared part is in the prefix cache beforehand.
    public var isWarm = false

    /// Throughput of one round.
    public struct Result: Sendable, Encodable {
        /// Prompt tokens a second until every request had its first token.
        public var prefillTokensPerSecond: Double
        /// Tokens a second from then on until the first request ended.
        public var decodeTokensPerSecond: Double
        /// Tokens generated in all.
        public var generatedTokens: Int
        /// Generated tokens a second, from beginning to end.
        public var outputTokensPerSecond: Double
        /// Mean seconds of a decoding step.
        public var stepSeconds: Double
        /// Bytes of weights, and of the keys and values held halfway through the output, that a decoding step has to read, a second.
        public var readBytesPerSecond: Double
    }

    /// Each figure's median over several rounds, at least one.
    public static func median(of results: [Result]) -> Result {
        func median(_ value: (Result) -> Double) -> Double { results.map(value).sorted()[results.count / 2] }
        return Result(
            prefillTokensPerSecond: median(\.prefillTokensPerSecond), decodeTokensPerSecond: median(\.decodeTokensPerSecond),
            generatedTokens: results.map(\.generatedTokens).sorted()[results.count / 2],
            outputTokensPerSecond: median(\.outputTokensPerSecond), stepSeconds: median(\.stepSeconds),
            readBytesPerSecond: median(\.readBytesPerSecond))
    }

    /// The defaults: 32 requests of 512 + 64 tokens.
    public init() {}

    /// One round on model `model` of an engine that has nothing else to do.
    ///
    /// Throws ``InferenceError/tooManyTokens(_:limit:)`` where the model's positions or the cache would cut outputs short.
    public func run(_ engine: Engine, model: Int = 0, seed: UInt64) async throws -> Result {
        guard prompt + output <= engine.capacity(of: model) else {
            throw InferenceError.tooManyTokens(prompt + output, limit: engine.capacity(of: model))
        }
        let vocabulary = Double(engine.models[model].model.config.vocabularySize)
        var random = SeededGenerator(seed: seed)
        func draw(_ count: Int) -> [Int32] { (0..<count).map { _ in Int32(random.uniform() * vocabulary) } }
        var sampling = SamplingOptions()
        sampling.maxTokens = output
        sampling.temperature = 0
        sampling.ignoreEOS = true
        let prefix = draw(shared)
        if isWarm, shared > 0 {
            var warming = sampling
            warming.maxTokens = 1
            let generation = try await engine.submit(
                GenerationRequest(model: model, prompt: prefix + draw(1), sampling: warming))
            while await engine.step() {}
            _ = generation
        }
        let warm = await engine.statistics
        var open: [Generation] = []
        let clock = ContinuousClock()
        let start = clock.now
        for _ in 0..<batch {
            open.append(
                try await engine.submit(
                    GenerationRequest(model: model, prompt: prefix + draw(prompt - shared), sampling: sampling)))
        }
        while await engine.statistics.promptTokens - warm.promptTokens < batch * prompt, await engine.step() {}
        let filled = clock.now
        let filledTokens = await engine.statistics
        while await engine.statistics.finished == warm.finished, await engine.step() {}
        let decoded = clock.now
        let decodedTokens = await engine.statistics
        while await engine.step() {}
        let end = clock.now
        let generated = await engine.statistics.generatedTokens - warm.generatedTokens
        _ = open
        let steps = decodedTokens.steps - filledTokens.steps
        let seconds = (decoded - filled) / .seconds(1)
        let config = engine.models[model].model
        // Halfway through the output.
        let held = config.config.bytesHeld(
            engine.options.encoding, engine.options.retention, tokens: prompt + output / 2, context: prompt)
        return Result(
            prefillTokensPerSecond: Double(batch * prompt) / ((filled - start) / .seconds(1)),
            decodeTokensPerSecond: Double(decodedTokens.generatedTokens - filledTokens.generatedTokens) / seconds,
            generatedTokens: generated, outputTokensPerSecond: Double(generated) / ((end - start) / .seconds(1)),
            stepSeconds: seconds / Double(max(steps, 1)),
            readBytesPerSecond: Double(config.weightBytes + batch * held) * Double(steps) / seconds)
    }
}
