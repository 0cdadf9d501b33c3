import Evaluation
import Files
import Inference
import Kernels
import Models

/// Runs examples through the engine that serves, greedily, with one cache.
///
/// Batches do not change results: a record does not depend on the examples beside its own. Beginnings that examples share are
/// computed once, in the prefix cache.
public struct ExampleRunner: Sendable {
    /// The configuration of the engine beside the cache.
    public struct Options: Sendable {
        /// Bytes of cache memory.
        public var cacheBytes = EngineOptions().cacheBytes
        /// Bytes of a page; nil for a size that suits the model.
        public var pageBytes: Int?
        /// Examples at once; the seconds of a record are then of one request among so many.
        public var concurrency = 1
        /// Whether evictions decide behind the question, at the prompt's end; else before it.
        public var queryAware = false
        /// The options of the scores' rule.
        public var scoring = ScoringTask.Options()

        /// The defaults.
        public init() {}
    }

    private let model: ServableModel
    private let name: String
    private let spec: CacheSpec
    private let engine: Engine
    private let options: Options

    /// A runner of a model under a `name`; throws ``InferenceError`` where the cache memory cannot be had.
    public init(_ model: ServableModel, name: String, spec: CacheSpec, options: Options) throws {
        (self.model, self.name, self.spec, self.options) = (model, name, spec, options)
        var engineOptions = EngineOptions()
        engineOptions.cacheBytes = options.cacheBytes
        engineOptions.pageBytes = options.pageBytes
        engineOptions.batchInvariant = true
        try spec.apply(to: &engineOptions)
        engine = try Engine(
            models: [EngineModel(name: name, model: model.model, tokenizer: model.tokenizer, stopIDs: model.stopIDs)],
            options: engineOptions)
    }

    /// Throws the first example that the model's positions or the cache memory have no room for.
    public func check(_ examples: [GenerationExample]) throws(LongContextError) {
        for example in examples {
            // The last token is never stored.
            let needed = max(example.tokens.count + example.maxTokens - 1, example.leastTokens)
            guard needed <= model.config.maxSequence else {
                throw .positions(example.id, needed: needed, model: name, positions: model.config.maxSequence)
            }
            guard needed <= engine.capacity(of: 0) else {
                throw .memory(
                    example.id, needed: needed, room: engine.capacity(of: 0), bytes: options.cacheBytes, cache: "\(spec)")
            }
        }
    }

    /// Runs `examples` in their order, equal contexts one behind the other, as many at once as the options say, and behind each the ones that
    /// follow its output; `body` gets each record as it is made.
    public func run(_ examples: [GenerationExample], _ body: (ExampleRecord) throws -> Void) async throws {
        try check(examples)
        let (examples, shared) = byContext(examples)
        try await withThrowingTaskGroup(of: (example: GenerationExample, record: ExampleRecord)?.self) { group in
            group.addTask {
                await engine.run()
                return nil
            }
            var next = examples.makeIterator()
            var running = 0
            func start(_ following: GenerationExample? = nil) async throws {
                guard let example = following ?? next.next() else { return }
                try check([example])
                var request = request(example)
                request.sharesContext = shared.contains(example.id)
                let generation = try await engine.submit(request)
                running += 1
                group.addTask { (example, try await record(example, generation)) }
            }
            do {
                for _ in 0..<max(1, options.concurrency) { try await start() }
                if running == 0 { await engine.stop() }
                while let result = try await group.next() {
                    // The engine's own task ends last.
                    guard let (example, record) = result else { continue }
                    running -= 1
                    try body(record)
                    try await start(example.following?(record.output))
                    if running == 0 { await engine.stop() }
                }
            } catch {
                await engine.stop()
                group.cancelAll()
                throw error
            }
        }
    }

    private func request(_ example: GenerationExample) -> GenerationRequest {
        var sampling = SamplingOptions()
        sampling.maxTokens = example.maxTokens
        sampling.temperature = 0
        sampling.stopStrings = example.stops
        (sampling.stopIDs, sampling.minTokens) = (example.laterStopIDs, example.laterStopIDs.isEmpty ? 0 : 1)
        var request = GenerationRequest(prompt: example.tokens, sampling: sampling)
        request.contextTokens = context(example)
        return request
    }

    /// The examples with each behind the first of an equal context, and the ones that share theirs, by id.
    private func byContext(_ examples: [GenerationExample]) -> (examples: [GenerationExample], shared: Set<String>) {
        var groups: [ArraySlice<Int32>: [Int]] = [:]
        for (index, example) in examples.enumerated() {
            groups[example.tokens.prefix(example.contextTokens), default: []].append(index)
        }
        let ordered = groups.values.sorted { $0[0] < $1[0] }
        return (
            ordered.joined().map { examples[$0] }, Set(ordered.filter { $0.count > 1 }.joined().map { examples[$0].id })
        )
    }

    /// Tokens of the prompt at whose end evictions decide.
    private func context(_ example: GenerationExample) -> Int {
        spec.evicts && !options.queryAware ? example.contextTokens : example.tokens.count
    }

    private func record(_ example: GenerationExample, _ generation: Generation) async throws -> ExampleRecord {
        let start = ContinuousClock.now
        var (output, tokens, cached, queued, compress) = ("", 0, 0, 0.0, 0.0)
        var firstToken: ContinuousClock.Instant?
        var finish: FinishReason?
        for await event in generation.events {
            switch event {
            case .prompt(_, let found, let waited, let compressed): (cached, queued, compress) = (found, waited, compressed)
            case .token(_, _, let text):
                firstToken = firstToken ?? .now
                tokens += 1
                output += text
            case .finished(_, let reason, let text):
                output += text
                finish = reason
            }
        }
        let end = ContinuousClock.now
        guard let finish, let firstToken else { throw LongContextError.unfinished(example.id) }
        let (count, scoring) = (example.tokens.count, OutputScoring(example))
        return ExampleRecord(
            id: example.id, model: name, cache: "\(spec)", group: example.group,
            queryAware: spec.evicts && options.queryAware, promptTokens: count, cachedTokens: cached,
            contextBytes: model.config.kvBytesPerToken(spec.encoding) * count,
            heldBytes: try spec.bytesHeld(model.config, tokens: count, context: context(example)), output: output,
            outputTokens: tokens,
            rule: scoring.rule, references: scoring.references, classes: scoring.classes, question: scoring.question,
            scores: try scoring.scores(output, options.scoring), finish: finish.rawValue,
            prefillSeconds: max(0, (firstToken - start) / .seconds(1) - queued), decodeSeconds: (end - firstToken) / .seconds(1),
            compressSeconds: spec.evicts ? compress : nil,
            promptSHA256: SHA256Digest(of: example.prompt).hex)
    }
}
