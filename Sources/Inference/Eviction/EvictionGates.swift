import Kernels
import Models

/// The gates of an eviction policy.
extension ExactnessGates {
    /// The outcomes of every gate of `retention`.
    ///
    /// Attention over the packed slots is compared with attention over the whole cache in which the other slots are masked, to the
    /// rounding of sums in another order. All other gates compare caches that compute each row alike in every chunk, and allow
    /// no difference. Throws ``InferenceError`` where the retention does not fit the model or a cache's memory cannot be had.
    public func run(evicting retention: EvictionRetention) throws -> [ExactnessGate] {
        var gates = self
        gates.isBatchInvariant = true
        let name = retention.name
        try retention.check(model)
        try retention.check(config, prompt: prompt)
        let plain = try gates.paged()
        gates.retention = try retention.keepingAll(of: tokens.count)
        let whole = retention.hasBudget ? "a budget of the length" : "everything recovered"
        let unbounded = gates.exact("\(name), \(whole)", try gates.paged(), plain)
        gates.retention = retention
        let decisions = try gates.decisions(of: retention)
        guard !decisions.isEmpty else {
            let reason = "nothing is evicted of \(tokens.count) tokens, \(prompt) of them the prompt"
            let masked = "\(name), evicted slots masked"
            return [unbounded, ExactnessGate(name: masked, tolerance: reorderedTolerance, notExercised: reason)]
        }
        let same = try gates.paged()
        var paths = try gates.invariantGates(name, same)
        paths.insert(try gates.prefixHit(same, retention), at: 3)
        return [unbounded, try gates.masked(retention)] + paths + [try gates.freedPages(retention)]
            + (name == StreamingLLM().name && retention.merge == nil ? [try gates.window(retention)] : [])
    }

    func exact(_ name: String, _ found: [Float], _ reference: [Float]) -> ExactnessGate {
        gate(name, found, reference, tolerance: 0)
    }

    /// The numbers of tokens at which slots are evicted.
    private func decisions(of retention: EvictionRetention) throws -> [Int] {
        let retentions = try makeCache().retentions
        return Array(
            sequence(first: 0) { retentions.nextPacking(after: $0, prompt: prompt) }.dropFirst().prefix { $0 < tokens.count })
    }

    /// The compacted cache against a full cache with the evicted slots masked, of the values that a merge has stored.
    private func masked(_ retention: EvictionRetention) throws -> ExactnessGate {
        var cache = try makeCache()
        var reference = MaskedKVCache(config: config, encoding: encoding)
        add(0, to: &cache)
        var (found, expected) = ([Float](), [Float]())
        var start = 0
        while start < tokens.count {
            let count = start < prompt ? min(prompt - start, cache.tokensToDecision(0) ?? .max) : 1
            let step = RaggedBatch(sequences: [0], counts: [count], tokens: Array(tokens[start..<start + count]))
            reference.kept = cache.positions(of: 0)
            if retention.merge != nil { reference.adoptValues(of: cache) }
            let logits = model.logits(step, cache: &cache).array()
            let masked = model.logits(step, cache: &reference).array()
            start += count
            if start >= prompt { (found, expected) = (found + logits, expected + masked) }
        }
        return gate("\(retention.name), evicted slots masked", found, expected, tolerance: reorderedTolerance)
    }

    /// A sequence whose prompt begins with blocks of the prefix cache.
    private func prefixHit(_ same: [Float], _ retention: EvictionRetention) throws -> ExactnessGate {
        let name = "\(retention.name), prefix hit"
        var cache = try makeCache(sequences: 3)
        var tree = PrefixTree(cache)
        let most = min(prompt - 1, cache.shareableTokens(prompt: prompt))
        let shared = most / tree.blockTokens * tree.blockTokens
        guard shared > 0 else {
            return ExactnessGate(
                name: name, tolerance: 0,
                notExercised: "the policy leaves \(most) tokens of the prompt to share, blocks have \(tree.blockTokens)")
        }
        add(1, to: &cache)
        insert(shared, of: 1, &cache, into: &tree)
        let hit = tree.match(Array(tokens[..<prompt]), salt: "")
        tree.use(hit, at: 2)
        add(0, to: &cache, sharing: tree.table(of: hit))
        cache.prompts[0] = Array(tokens[..<shared])
        precondition(cache.length(of: 0) == shared, "ExactnessGates: \(cache.length(of: 0)) of \(shared) tokens are in the tree")
        let found = prefill(&cache, shared..<prompt, chunk: prompt) + decode(&cache, prompt..<tokens.count)
        return exact(name, found, same)
    }

    /// Pages in use behind every decision, against those of the slots that the policy says it keeps: of all heads of a layer, or
    /// where heads share budgets, of as many slots as these have together, divided as they were; without a budget of those it kept.
    private func freedPages(_ retention: EvictionRetention) throws -> ExactnessGate {
        let hasBudget = retention.hasBudget
        var cache = try makeCache()
        add(0, to: &cache)
        var gate = ExactnessGate(name: "\(retention.name), pages freed as predicted", [0], [0], width: 1, tolerance: 0)
        for decision in try decisions(of: retention) {
            _ = prefill(&cache, cache.length(of: 0)..<decision, chunk: prompt)
            let table = cache.table(of: 0)
            var (predicted, surplus) = (0, 0)
            for streams in cache.budgets(cache.retentions) {
                let retention = cache.retentions[streams[0]]
                guard retention.release == .compaction else { continue }
                // A stream whose own budget lies above the decision keeps everything.
                let most = retention.mostRetained(at: decision, prompt: prompt)
                let slots = streams.map { streams.count == 1 && hasBudget ? most : table.slots($0) }
                let excess = slots.reduce(0, +) - most * streams.count
                surplus = max(surplus, hasBudget ? abs(excess) : excess)
                predicted += zip(streams, slots).reduce(0) { $0 + cache.layouts[$1.0].pages(tokens: $1.1) }
            }
            let held = zip(table.pages, cache.retentions).reduce(0) { $0 + ($1.1.release == .compaction ? $1.0.count : 0) }
            let used = cache.store.pool.pages - cache.store.pool.freeCount
            gate.largestDifference = max(
                gate.largestDifference, abs(Double(held - predicted)), abs(Double(used - table.allPages.count)), Double(surplus))
        }
        return gate
    }

    /// StreamingLLM with a decision at every token against the model with a sliding window and as many sinks: a budget of B slots,
    /// S of them sinks, shows a query the newest B − S tokens and its own.
    private func window(_ retention: EvictionRetention) throws -> ExactnessGate {
        let name = "\(retention.name), at every token, a sliding window"
        let window = retention.leastBudget + 24
        var windowed = config
        guard config.kvGeometry(encoding).allSatisfy({ $0.window == nil && $0.source == nil && !$0.valuesAreKeys }) else {
            return ExactnessGate(
                name: name, tolerance: reorderedTolerance, notExercised: "only plain layers take a sliding window")
        }
        do {
            try HybridAttention(window: window, fullEvery: 0, sinks: retention.sinks).configure(&windowed)
        } catch {
            return ExactnessGate(name: name, tolerance: reorderedTolerance, notExercised: "\(error)")
        }
        var streaming = self
        streaming.retention = try retention.with(budget: .tokens(window - 1 + retention.sinks), interval: 1)
        func oneByOne(_ cache: PagedKVCache) -> [Float] {
            var cache = cache
            add(0, to: &cache, length: 0)
            return decode(&cache, 0..<tokens.count)
        }
        let found = oneByOne(try streaming.makeCache())
        let sliding = try PagedKVCache(
            config: windowed, encoding: encoding, pageBytes: pageBytes, sequences: 2, tokens: tokens.count, chunk: 1)
        return gate(name, found, oneByOne(sliding), tolerance: reorderedTolerance)
    }
}
