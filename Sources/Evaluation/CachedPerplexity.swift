import Inference
import Kernels
import Models

/// A model's perplexity on the serving path, and the cost of its cache.
public struct CachedPerplexity: Sendable {
    /// The scores, of the windows in order.
    public var score = PerplexityResult(windows: [])
    /// The mean over scored tokens of KL(full ‖ this) in nats: full is the same model, or the reference that was given, over a Float32
    /// cache of all slots.
    public var klToFull: Double { divergence / Double(max(score.tokensScored, 1)) }
    /// Tokens of the windows, and bytes at the windows' ends: of the allocated pages, and of the sidecar (positions, mass, statistics).
    public private(set) var tokens = 0, allocatedBytes = 0, sidecarBytes = 0
    /// Slots at a window's end a layer with keys and values of its own, on average.
    public var slotsKept: Double { slots / Double(max(score.windows.count, 1)) }
    /// Bytes of allocated pages a token.
    public var bytesPerToken: Double { Double(allocatedBytes) / Double(max(tokens, 1)) }
    /// Bytes beside the pages a token: positions, attention mass.
    public var sidecarBytesPerToken: Double { Double(sidecarBytes) / Double(max(tokens, 1)) }
    private var divergence = 0.0
    private var slots = 0.0
}

/// The cache that an evaluation goes through.
public struct EvaluationCache: Sendable {
    /// The encoding of cached keys and values.
    public var encoding: CacheEncoding
    /// The retention of layers without a window.
    public var retention: any Retention
    /// Bytes of a page.
    public var pageBytes: Int
    /// Tokens of a window's prompt, a BOS included: only predictions of positions behind it are scored. 0 for no prompt.
    public var prompt = 0
    /// Tokens of a chunk.
    public var chunk = 256

    /// A cache in pages of `pageBytes`.
    public init(encoding: CacheEncoding, retention: any Retention = FullRetention(), pageBytes: Int) {
        (self.encoding, self.retention, self.pageBytes) = (encoding, retention, pageBytes)
    }

    /// Whether nothing is rounded or evicted.
    fileprivate var isFull: Bool { encoding == .float32 && retention is FullRetention }
}

extension CachedPerplexity {
    /// Scores `windows` on the serving path: weights in their element type, keys and values in the paged cache that `options`
    /// describe.
    ///
    /// The divergence is to `reference` where one is given, such as the uncompressed parent of a converted `model`; logits of both are
    /// held for a chunk at a time. Precondition: both have one vocabulary.
    ///
    /// Windows without a token behind the prompt are left out. Throws ``InferenceError`` where the cache does not fit the model
    /// or the retention needs a prompt and there is none.
    public static func evaluate(
        _ model: ServingModel, _ windows: [EvaluationWindow], through options: EvaluationCache,
        against reference: ServingModel? = nil, progress: (Int) throws -> Void = { _ in }
    ) throws -> CachedPerplexity {
        try evaluate(model, windows, through: [options], against: reference, progress: progress)[0]
    }

    /// The same through several caches side by side, whose divergence is from one pass of the reference.
    ///
    /// The caches of a window are all held at a time. Precondition: there is a cache, and all have the same prompt and chunks.
    public static func evaluate(
        _ model: ServingModel, _ windows: [EvaluationWindow], through options: [EvaluationCache],
        against reference: ServingModel? = nil, progress: (Int) throws -> Void = { _ in }
    ) throws -> [CachedPerplexity] {
        precondition(
            reference.map { $0.config.vocabularySize == model.config.vocabularySize } ?? true,
            "CachedPerplexity: vocabularies differ")
        guard let first = options.first, options.allSatisfy({ ($0.prompt, $0.chunk) == (first.prompt, first.chunk) }) else {
            preconditionFailure("CachedPerplexity: caches of different prompts or chunks")
        }
        for cache in options {
            if cache.prompt == 0, let retention = cache.retention as? EvictionRetention, retention.needsPrompt {
                throw InferenceError.policyWithoutPrompt(policy: retention.name)
            }
            try cache.retention.check(model)
            try cache.retention.check(model.config, prompt: cache.prompt)
        }
        let longest = windows.map(\.inputs.count).max() ?? 1
        func cache(
            _ config: ModelConfig, _ encoding: CacheEncoding, _ retention: any Retention, pageBytes: Int
        ) throws -> PagedKVCache {
            try PagedKVCache(
                config: config, encoding: encoding, retention: retention, pageBytes: pageBytes, tokens: longest,
                chunk: first.chunk)
        }
        var compressed = try options.map { try cache(model.config, $0.encoding, $0.retention, pageBytes: $0.pageBytes) }
        // The reference; none where it is the cache itself. A page of codes may be too small for Float32.
        let whole = (reference ?? model).config
        let isOwn = reference == nil && options.count == 1
        let pages = isOwn ? first.pageBytes : PageSize.bytes(for: [whole], .float32)
        var full: [(model: ServingModel, cache: PagedKVCache)] =
            isOwn && first.isFull
            ? [] : [(reference ?? model, try cache(whole, .float32, FullRetention(), pageBytes: pages))]
        var results = options.map { _ in CachedPerplexity() }
        for (index, window) in windows.enumerated() {
            if let window = window.scored(from: first.prompt) {
                add(window, model, first, &compressed, &full, to: &results)
            }
            try progress(index + 1)
        }
        return results
    }

    /// Scores one window through empty caches.
    private static func add(
        _ window: EvaluationWindow, _ model: ServingModel, _ options: EvaluationCache, _ caches: inout [PagedKVCache],
        _ full: inout [(model: ServingModel, cache: PagedKVCache)], to results: inout [CachedPerplexity]
    ) {
        for index in caches.indices {
            caches[index].add(0)
            caches[index].setPromptLength(0, options.prompt)
        }
        for index in full.indices { full[index].cache.add(0) }
        var scores = caches.map { _ in WindowScore(nll: 0, tokens: window.scoredTokens, bytes: window.scoredBytes) }
        var (start, scored) = (0, 0)
        while start < window.inputs.count {
            var count = min(options.chunk, window.inputs.count - start)
            for cache in caches { count = min(count, cache.tokensToDecision(0) ?? .max) }
            if start < options.prompt { count = min(count, options.prompt - start) }
            let step = RaggedBatch(
                sequences: [0], counts: [count], tokens: Array(window.inputs[start..<start + count]))
            let targets = window.targets[start..<start + count]
            // A pass has one row of logits at least.
            let rows = targets.indices.filter { targets[$0] >= 0 }.map { Int32($0 - start) }
            let wanted = rows.isEmpty ? [Int32(count - 1)] : rows
            let classes = model.config.vocabularySize
            let references = full.indices.map { index in
                let model = full[index].model
                return model.logits(step, rows: wanted, cache: &full[index].cache)
            }
            for index in caches.indices {
                let logits = model.logits(step, rows: wanted, cache: &caches[index])
                guard !rows.isEmpty else { continue }
                for reference in references {
                    results[index].divergence += KLDivergence.rows(
                        from: reference, to: logits, rows: rows.count, classes: classes
                    ).reduce(0) { $0 + Double($1) }
                }
                let losses = Storage(count: rows.count)
                CrossEntropy.rows(
                    logits: logits, targets: targets.filter { $0 >= 0 }, rows: rows.count, classes: classes, into: losses)
                for (row, loss) in losses.array().enumerated() {
                    scores[index].nll += Double(loss)
                    results[index].score.tokens.append((window.scoredEnds[scored + row], loss))
                }
            }
            start += count
            scored += rows.count
        }
        for index in caches.indices {
            results[index].tokens += window.inputs.count
            results[index].allocatedBytes += caches[index].bytesHeld.allocated
            results[index].sidecarBytes += caches[index].sidecarBytes(of: 0)
            results[index].slots += caches[index].slotsKept(0)
            results[index].score.windows.append(scores[index])
            caches[index].remove(0)
        }
        for index in full.indices { full[index].cache.remove(0) }
    }
}
