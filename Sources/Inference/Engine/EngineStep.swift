import Kernels
import Models

/// The parts of a step.
extension Engine {
    /// The scheduler's plan over the free and evictable pages.
    func schedule() -> Scheduler.Plan {
        let ledger = store.pool.ledger.freeing(trees.map(\.idlePages)).freeing(idleContextPages)
        let waiting = scheduler.heldIDs
        let view = Scheduler.View(
            left: { id in self.sequences[id].map { $0.tokens.count - self.computed($0) } ?? 0 },
            pagesNeeded: { id, count in
                guard let sequence = self.sequences[id] else { return 0 }
                let cache = self.caches[sequence.model]
                if sequence.isResident { return cache.pagesNeeded(id, adding: count) }
                if self.awaitsPrefix(sequence, held: waiting) || self.awaitsContext(sequence, held: waiting) { return nil }
                // A swapped sequence's pages count too: its tier holds none that lie behind a window.
                let tokens = min(self.computed(sequence) + count, max(sequence.longest, sequence.tokens.count))
                return cache.pages(
                    tokens: tokens, inChunksOf: self.options.limits.tokensPerStep, retention: sequence.retention)
            },
            pagesFreed: { id in
                guard let sequence = self.sequences[id], sequence.isResident else { return 0 }
                // Preemption frees only pages without another holder, or with the prefix tree as their only other holder.
                let own = self.caches[sequence.model].table(of: id).allPages.count { self.store.pool.count(of: $0) == 1 }
                return own + self.trees[sequence.model].pagesLeft(by: sequence.path)
            },
            tenantPages: pagesOfTenants)
        return scheduler.plan(ledger, view)
    }

    /// Pages held by each tenant's sequences, each page counted once; tenants share no pages.
    private func pagesOfTenants() -> [String: Int] {
        if pageMarks.isEmpty || lastMark > .max / 2 {
            (pageMarks, lastMark) = ([UInt32](repeating: 0, count: store.pool.pages), 0)
        }
        var (marks, counts) = ([String: UInt32](), [String: Int]())
        for sequence in sequences.values where sequence.isResident {
            if marks[sequence.tenant] == nil { lastMark += 1 }
            let mark = marks[sequence.tenant] ?? lastMark
            marks[sequence.tenant] = mark
            var count = 0
            for page in caches[sequence.model].table(of: sequence.id).allPages where pageMarks[Int(page)] != mark {
                pageMarks[Int(page)] = mark
                count += 1
            }
            counts[sequence.tenant, default: 0] += count
        }
        return counts
    }

    /// Whether to wait for the prefix cache: another sequence is computing more of this prompt than the tree holds.
    private func awaitsPrefix(_ sequence: EngineSequence, held: Set<Int>) -> Bool {
        guard options.prefixSharing, sequence.promptLogprobs == nil, case .none = sequence.residence else { return false }
        let tree = trees[sequence.model]
        let wanted = (tree.match(sequence.tokens, salt: sequence.prefixScope).count + 1) * tree.blockTokens
        guard wanted < min(sequence.tokens.count, sharedTokens(sequence)) else { return false }
        return sequences.values.contains { other in
            mayAwait(other, sequence, held: held) && other.promptCount >= wanted && computed(other) < wanted
                && other.tokens.prefix(wanted).elementsEqual(sequence.tokens.prefix(wanted))
        }
    }

    /// Whether `sequence` may wait for tokens that `other` computes and both may share.
    func mayAwait(_ other: EngineSequence, _ sequence: EngineSequence, held: Set<Int>) -> Bool {
        // Older waiting sequences are admitted before this one. Beams of the same request, and held sequences, which resume
        // only after others, may themselves be waiting for this one.
        other.request != sequence.request && !held.contains(other.id) && (other.isResident || other.id < sequence.id)
            && other.model == sequence.model && other.prefixScope == sequence.prefixScope
    }

    /// Makes new and swapped sequences resident and reserves their pages; leaves out sequences for which there are too few.
    func prepare(_ runs: [Scheduler.Plan.Run], model: Int) -> [Scheduler.Plan.Run] {
        runs.compactMap { run in
            guard bringIn(run.id), let sequence = sequences[run.id] else { return nil }
            let count = min(
                run.count, sequence.tokens.count - computed(sequence), caches[model].tokensToDecision(run.id) ?? .max)
            while !caches[model].reserve(run.id, adding: count) {
                guard evictForPages(model) || letGoOfPrefix(run.id) else { return nil }
            }
            return Scheduler.Plan.Run(id: run.id, count: count)
        }
    }

    /// Tokens of a sequence that may come from the prefix cache: those that its retention neither decides behind nor observes
    /// the queries of, and the prompt's alone where outputs are computed in another way.
    private func sharedTokens(_ sequence: EngineSequence) -> Int {
        let tokens = options.batchInvariant ? sequence.contextCount : sequence.tokens.count
        return min(tokens, caches[sequence.model].shareableTokens(prompt: sequence.contextCount, retention: sequence.retention))
    }

    private func bringIn(_ id: Int) -> Bool {
        guard let sequence = sequences[id], !sequence.isResident else { return true }
        let model = sequence.model
        if case .tier(let pages, let snapshot) = sequence.residence { return restore(id, snapshot, from: pages) }
        guard !forkContext(sequence) else {
            sequence.enter()
            sequence.residence = .cache
            return true
        }
        var table: BlockTable?
        if options.prefixSharing, sequence.promptLogprobs == nil {
            let looked = Array(sequence.tokens.prefix(sharedTokens(sequence)))
            sequence.path = trees[model].match(looked, salt: sequence.prefixScope)
            trees[model].use(sequence.path, at: tick())
            table = trees[model].table(of: sequence.path)
            counters.prefixQueries += sequence.tokens.count
            counters.prefixHits += table?.tokens ?? 0
        }
        caches[model].add(id, sharing: table)
        caches[model].setPromptLength(id, sequence.contextCount)
        if let retention = sequence.retention { caches[model].setRetention(id, retention) }
        if !sequence.isStarted { sequence.cached = table?.tokens ?? 0 }
        sequence.enter()
        sequence.residence = .cache
        return true
    }

    /// Runs one pass of a model over its part of the step, then samples.
    func forward(_ runs: [Scheduler.Plan.Run], model: Int) {
        let vocabulary = models[model].model.config.vocabularySize
        var step = RaggedBatch(sequences: [], counts: [], tokens: [])
        var rows: [Int32] = []
        /// The first row of logits of each run, and its number of rows.
        var logitRows: [(first: Int, count: Int)] = []
        for run in runs {
            guard let sequence = sequences[run.id] else { continue }
            let start = computed(sequence)
            let end = start + run.count
            let first = Int32(step.tokens.count)
            step.sequences.append(run.id)
            step.counts.append(run.count)
            step.tokens += sequence.tokens[start..<end]
            // A scored prompt needs logits of all its rows; other runs need the last row, once the sequence's end is reached.
            let isScored = sequence.promptLogprobs != nil && start < sequence.promptCount && !sequence.isStarted
            let wanted = isScored ? run.count : end == sequence.tokens.count ? 1 : 0
            logitRows.append((rows.count, wanted))
            rows += (first + Int32(run.count - wanted)..<first + Int32(run.count)).map { $0 }
        }
        if options.checksEachStep {
            precondition(caches[model].sharedWrite(step) == nil, "Engine: a page is written that others hold")
        }
        let clock = ContinuousClock()
        let start = clock.now
        let logits = models[model].model.logits(step, rows: rows, cache: &caches[model])
        costs[model].ran(tokens: step.tokens.count, seconds: (clock.now - start) / .seconds(1))
        let greedy = LogitRows.argmax(logits, rows: rows.count, width: vocabulary)
        for (run, range) in zip(runs, logitRows) {
            guard let sequence = sequences[run.id] else { continue }
            let computed = computed(sequence)
            score(sequence, logits, range, from: computed - run.count, width: vocabulary)
            keepPrefix(run.id)
            retain(run.id)
            keepContext(run.id)
            if computed == sequence.tokens.count {
                let row = range.first + range.count - 1
                guard beams[sequence.request] == nil || sequence.maxTokens == 0 else {
                    self.start(sequence)
                    offer(run.id, logits, row: row, width: vocabulary)
                    continue
                }
                fork(run.id, logits, row: row, width: vocabulary, greedy: greedy[row])
                sample(run.id, logits, row: row, width: vocabulary, greedy: greedy[row])
            }
        }
        advanceBeams()
    }

    /// Scores the prompt's tokens that this run predicts.
    private func score(
        _ sequence: EngineSequence, _ logits: Storage, _ range: (first: Int, count: Int), from before: Int, width: Int
    ) {
        guard let top = sequence.promptLogprobs, !sequence.isStarted, before < sequence.promptCount else { return }
        if before == 0, sequence.promptScores.isEmpty { sequence.promptScores.append(SampledToken(id: sequence.tokens[0])) }
        for offset in 0..<range.count where before + offset + 1 < sequence.promptCount {
            // A prompt that was preempted half-way is scored once.
            guard sequence.promptScores.count == before + offset + 1 else { continue }
            var token = SampledToken(id: sequence.tokens[before + offset + 1])
            TokenSampler.score(&token, logits, row: range.first + offset, width: width, top: top)
            sequence.promptScores.append(token)
        }
    }

    /// Forks the request's other outputs from this one's pages; forks without a running place beside other tenants wait and are
    /// recomputed.
    private func fork(_ id: Int, _ logits: Storage, row: Int, width: Int, greedy: Int32) {
        guard let sequence = sequences[id], sequence.forks > 0 else { return }
        let forks = sequence.forks
        sequence.forks = 0
        defer { scheduler.close(sequence.request) }
        start(sequence)
        for index in 1...forks {
            let copy = sequence.forked(as: id + index, index: index)
            enter(copy, forkOf: id, sharesPages: scheduler.hasPlaceToFork)
            sample(copy.id, logits, row: row, width: width, greedy: greedy)
        }
    }

    /// Takes in `copy`, a fork of `id`: running on the same pages, or waiting to be recomputed.
    func enter(_ copy: EngineSequence, forkOf id: Int, sharesPages: Bool) {
        sequences[copy.id] = copy
        if sharesPages {
            trees[copy.model].use(copy.path, at: tick())
            caches[copy.model].fork(id, as: copy.id)
            scheduler.addRunning(copy.id, group: copy.request)
        } else {
            copy.leavePages()
            scheduler.addWaiting(copy.id, group: copy.request)
        }
    }

    /// Sends the event that precedes the first token.
    private func start(_ sequence: EngineSequence) {
        guard !sequence.isStarted else { return }
        sequence.isStarted = true
        counters.promptTokens += sequence.promptCount
        requests[sequence.request]?.continuation.yield(
            .prompt(
                sequence.promptScores, cached: sequence.cached, queuedSeconds: sequence.queuedSeconds ?? 0,
                compressSeconds: sequence.compressSeconds))
        sequence.promptScores = []
    }

    /// Samples the next token, sends it, and finishes the output where it is the last.
    private func sample(_ id: Int, _ logits: Storage, row: Int, width: Int, greedy: Int32) {
        guard let sequence = sequences[id] else { return }
        start(sequence)
        guard sequence.maxTokens > 0 else { return finish(id, .length, text: "") }
        let (token, text, end) = sequence.draw(logits, row: row, width: width, greedy: greedy)
        counters.generatedTokens += 1
        requests[sequence.request]?.continuation.yield(.token(index: sequence.index, token, text: text))
        if let end { finish(id, end.reason, text: end.text) }
    }

    /// Finishes an output, and its request with the last one.
    func finish(_ id: Int, _ reason: FinishReason, text: String) {
        guard let sequence = sequences[id] else { return }
        guard beams[sequence.request] == nil else { return finishBeams(of: sequence.request) }
        counters.finished += 1
        remove(id)
        guard var request = requests[sequence.request] else { return }
        // An output that ends before its forks were made ends them too.
        let ended = 1 + sequence.forks
        for index in sequence.index..<sequence.index + ended {
            request.continuation.yield(.finished(index: index, reason, text: text))
        }
        request.open -= ended
        requests[sequence.request] = request.open > 0 ? request : nil
        if request.open <= 0 { request.continuation.finish() }
    }

    /// Removes a sequence from the engine, the scheduler and the caches.
    func remove(_ id: Int) {
        guard let sequence = sequences.removeValue(forKey: id) else { return }
        scheduler.remove(id)
        trees[sequence.model].leave(sequence.path, at: tick())
        caches[sequence.model].remove(id)
    }
}
