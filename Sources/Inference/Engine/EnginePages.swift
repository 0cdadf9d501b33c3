import Kernels
import Models

/// The measured costs of preempting one model's sequences.
struct PreemptionCosts {
    /// Seconds to compute a token of a prompt, and to write or read a page.
    private(set) var tokenSeconds = 1e-3
    private(set) var writeSeconds = 2e-5, readSeconds = 2e-5

    mutating func ran(tokens: Int, seconds: Double) {
        // Small steps measure decoding rather than prefill.
        if tokens >= 64 { Self.average(&tokenSeconds, seconds, over: tokens) }
    }

    mutating func wrote(pages: Int, seconds: Double) { Self.average(&writeSeconds, seconds, over: pages) }

    mutating func read(pages: Int, seconds: Double) { Self.average(&readSeconds, seconds, over: pages) }

    private static func average(_ mean: inout Double, _ seconds: Double, over count: Int) {
        if count > 0 { mean += 0.2 * (seconds / Double(count) - mean) }
    }

    /// The cheaper preemption of a sequence: recomputing `tokens`, or writing and reading `pages` once each.
    func choice(tokens: Int, pages: Int) -> EngineOptions.Preemption {
        Double(pages) * (writeSeconds + readSeconds) < Double(tokens) * tokenSeconds ? .swap : .recompute
    }
}

/// Page lifetimes: prefixes cached and evicted, sequences preempted and restored.
extension Engine {
    /// Inserts the prompt's computed blocks into the prefix tree.
    func keepPrefix(_ id: Int) {
        guard let sequence = sequences[id], sequence.isResident, sequence.keepsPrefix, options.prefixSharing,
            !caches[sequence.model].isCompacted(id), options.encoding.residual == 0
        else { return }
        let computed = computed(sequence)
        let tokens = sequence.tokens.prefix(options.batchInvariant ? min(computed, sequence.contextCount) : computed)
        guard tokens.count / trees[sequence.model].blockTokens > sequence.path.count else { return }
        let (path, held) = trees[sequence.model].insert(
            Array(tokens), salt: sequence.prefixScope, table: caches[sequence.model].table(of: id), behind: sequence.path,
            at: tick())
        for page in held { store.pool.retain(page) }
        sequence.path = path
    }

    /// Evicts the slots outside the retained set of a sequence; the prefix tree may keep their pages.
    func retain(_ id: Int) {
        guard let sequence = sequences[id], sequence.isResident, caches[sequence.model].decides(id) else { return }
        let clock = ContinuousClock()
        let start = clock.now
        let prompt = sequence.tokens.prefix(sequence.contextCount)
        caches[sequence.model].tellPrompt(id, prompt)
        caches[sequence.model].reconstruct(id, prompt, by: models[sequence.model].model)
        if caches[sequence.model].retain(id) {
            sequence.compressSeconds += (clock.now - start) / .seconds(1)
            // Compacted pages are no prefix of another prompt.
            trees[sequence.model].leave(sequence.path, at: tick())
            (sequence.path, sequence.keepsPrefix) = (PrefixPath(), false)
        }
        sequence.path = trees[sequence.model].advance(sequence.path, to: computed(sequence), at: tick())
    }

    /// Evicts one block of `model`'s prefix tree, or a block's window pages; false where the tree has none to evict.
    func evict(_ model: Int) -> Bool {
        guard let pages = trees[model].evict() else { return false }
        for page in pages { store.pool.release(page) }
        return true
    }

    /// Evicts the least recently used block or kept context that can free a page for `model`: one of its own or of a model above its
    /// guarantee.
    func evictForPages(_ model: Int) -> Bool {
        let ledger = store.pool.ledger
        let open = trees.indices.filter { $0 == model || ledger.used[$0] > ledger.guarantees[$0] }
        let oldest = open.compactMap { other in
            [trees[other].oldestUse, oldestContextUse(of: other)].compactMap(\.self).min().map { (use: $0, model: other) }
        }.min { ($0.use, $0.model) < ($1.use, $1.model) }
        guard let oldest else { return false }
        let isContext = oldestContextUse(of: oldest.model) == oldest.use
        guard isContext ? dropContext(of: oldest.model) : evict(oldest.model) else { return false }
        counters.evicted += 1
        return true
    }

    /// Removes a sequence's otherwise unused blocks from the prefix tree, as the sequence itself finds no page; false where it
    /// has no blocks there.
    ///
    /// Where layers hold unequal numbers of tokens a page, a block may end inside a page. The tree's copy and the sequence's are
    /// then two pages, one more than the sequence needs alone.
    func letGoOfPrefix(_ id: Int) -> Bool {
        guard let sequence = sequences[id], !sequence.path.isEmpty else { return false }
        let path = sequence.path
        (sequence.path, sequence.keepsPrefix) = (PrefixPath(), false)
        trees[sequence.model].leave(path, at: tick())
        for page in trees[sequence.model].remove(unused: path) { store.pool.release(page) }
        return true
    }

    /// The next moment of the logical clock by which the prefix trees order their uses.
    func tick() -> Int {
        clock += 1
        return clock
    }

    /// Preempts a running sequence: swaps its pages to the tier or drops them.
    func preempt(_ id: Int) {
        guard let sequence = sequences[id], sequence.isResident else { return }
        let pages = caches[sequence.model].table(of: id).allPages
        // Blocks that other sequences use stay in the prefix tree and are matched again on resumption.
        let kept = trees[sequence.model].tokensShared(of: sequence.path)
        let computed = computed(sequence)
        let wanted = options.preemption ?? costs[sequence.model].choice(tokens: computed - kept, pages: pages.count)
        sequence.residence = .none
        if wanted == .swap, let tier = options.tier {
            let clock = ContinuousClock()
            let start = clock.now
            // A sequence that the tier refuses is recomputed.
            if let tiered = try? tier.store(
                pages.lazy.map({ self.store.memory.bytes(of: $0) }), pageBytes: store.pageBytes)
            {
                sequence.residence = .tier(tiered, caches[sequence.model].snapshot(of: id))
                costs[sequence.model].wrote(pages: pages.count, seconds: (clock.now - start) / .seconds(1))
            }
        }
        if case .none = sequence.residence { counters.recomputed += 1 } else { counters.swapped += 1 }
        trees[sequence.model].leave(sequence.path, at: tick())
        sequence.path = PrefixPath()
        caches[sequence.model].remove(id)
    }

    /// Restores a swapped sequence's pages; where the tier has lost them, the sequence is recomputed.
    func restore(_ id: Int, _ snapshot: PagedKVCache.Snapshot, from tiered: any TieredPages) -> Bool {
        guard let sequence = sequences[id] else { return false }
        let model = sequence.model
        while !caches[model].restore(id, snapshot) { guard evictForPages(model) else { return false } }
        sequence.residence = .cache
        let clock = ContinuousClock()
        let start = clock.now
        do throws(InferenceError) {
            let pages = caches[model].table(of: id).allPages
            for (index, page) in pages.enumerated() { store.memory.write(try tiered.page(index)[...], to: page) }
            costs[model].read(pages: pages.count, seconds: (clock.now - start) / .seconds(1))
        } catch {
            caches[model].reset(id)
        }
        return true
    }
}
