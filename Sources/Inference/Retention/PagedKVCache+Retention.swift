import Kernels
import Models

/// Eviction of slots by the layers' retentions.
extension PagedKVCache {
    /// Tokens of `sequence` until its next compaction, which a step must not exceed; nil where none follows.
    public func tokensToDecision(_ sequence: Int) -> Int? {
        guard decides(sequence) else { return nil }
        let tokens = length(of: sequence)
        return retentions(of: sequence).nextPacking(after: tokens, prompt: prompt(of: sequence)).map { $0 - tokens }
    }

    /// Tokens of a prompt of `prompt` tokens that a sequence may take from the prefix cache: those before the first decision, and
    /// before the first query that a retention observes; none where an encoding leaves the newest tokens before a full block
    /// unrounded, as the prefix cache has codes alone. A `retention` of nil is the cache's.
    func shareableTokens(prompt: Int, retention: (any Retention)? = nil) -> Int {
        guard encoding.residual == 0 else { return 0 }
        let deciding = retention.map { retentions(with: $0) } ?? retentions
        guard let decision = deciding.nextPacking(after: 0, prompt: prompt) else { return .max }
        return deciding.reduce(decision) { most, retention in
            guard retention.observesQueries else { return most }
            let observed = retention.observed(0..<decision, prompt: prompt)
            return observed.isEmpty ? most : min(most, observed.lowerBound)
        }
    }

    /// Whether slots of `sequence` were compacted: its pages no longer hold its first tokens.
    func isCompacted(_ sequence: Int) -> Bool { table(of: sequence).isCompacted }

    /// Tokens of a sequence's prompt; all that come where nothing was said.
    func prompt(of sequence: Int) -> Int { promptLengths[sequence] ?? .max }

    private func isDecision(_ sequence: Int, _ stream: Int, at tokens: Int) -> Bool {
        guard decides(sequence), tokens > 0 else { return false }
        return retentions(of: sequence)[stream].nextDecision(after: tokens - 1, prompt: prompt(of: sequence)) == tokens
    }

    /// Pages to reserve for the compaction at the last of `count` more tokens: enough for the retained set, where some target
    /// pages are shared or may become shared before it.
    func pagesToReserve(_ sequence: Int, _ table: BlockTable, _ stream: Int, adding count: Int) -> Int {
        let retention = retentions(of: sequence)[stream]
        guard retention.release == .compaction, isDecision(sequence, stream, at: table.tokens + count) else { return 0 }
        let most = retention.mostRetained(at: table.tokens + count, prompt: prompt(of: sequence))
        let kept = min(table.slots(stream) + count, most)
        let pages = layouts[stream].pages(tokens: kept)
        let isOwn =
            table.isCompacted && table.pages[stream].prefix(pages).allSatisfy { store.pool.count(of: $0) == 1 }
        return isOwn ? 0 : max(0, pages - table.reserved[stream].count)
    }

    /// Evicts the slots of `sequence` outside the retained sets and releases their pages; true where some were compacted.
    @discardableResult mutating func retain(_ sequence: Int) -> Bool {
        guard decides(sequence) else { return false }
        var table = table(of: sequence)
        var isPacked = false
        for (stream, retention) in retentions(of: sequence).enumerated() where isDecision(sequence, stream, at: table.tokens) {
            let state = countsOnly && retention.release == .compaction ? nil : state(of: sequence, table, stream)
            let most = min(table.slots(stream), retention.mostRetained(at: table.tokens, prompt: prompt(of: sequence)))
            let kept = state.map { retention.retained($0) } ?? .ranges([0..<most])
            switch (retention.release, kept) {
            case (.pages, .ranges(let ranges)): release(&table, stream, outside: ranges)
            case (.pages, .heads): preconditionFailure("PagedKVCache: '\(retention.name)' keeps slots by head in place")
            case (.compaction, .ranges(let ranges)):
                let kept = ranges.flatMap { Array($0) }
                pack(&table, sequence, stream, [[Int]](repeating: kept, count: shapes[stream].kvHeads))
                isPacked = true
            case (.compaction, .heads(let heads)):
                let merged = heads.indices.map { head in
                    retention.merge.flatMap { merge in state.map { merge.values($0, head: head, kept: heads[head]) } } ?? [:]
                }
                pack(&table, sequence, stream, heads)
                for (head, slots) in heads.enumerated() {
                    for (slot, old) in slots.enumerated() {
                        guard let value = merged[head][old] else { continue }
                        store.memory.storeValue(value, layouts[stream], head: head, slot: slot, of: table.pages[stream])
                    }
                }
                isPacked = true
            }
        }
        tables[sequence] = table
        return isPacked
    }

    /// The state of a stream for its retention.
    private func state(of sequence: Int, _ table: BlockTable, _ stream: Int) -> StreamState {
        let (inputs, layout, slots) = (retentions(of: sequence)[stream].inputs, layouts[stream], table.slots(stream))
        let observations = observations[sequence]?[stream]
        var state = StreamState(
            tokens: table.tokens, prompt: prompt(of: sequence), kvHeads: layout.kvHeads, slots: slots,
            positions: table.positions[stream], mass: inputs.contains(.mass) ? observations?.mass ?? [] : [])
        state.index = stream
        func vectors(_ part: PageMemory.SlotPart) -> [[Float]] {
            (0..<layout.kvHeads).map { store.memory.vectors(layout, part, head: $0, slots: slots, of: table.pages[stream]) }
        }
        if inputs.contains(.keys) { state.keys = vectors(.key) }
        if inputs.contains(.values) { state.values = vectors(.value) }
        if inputs.contains(.queries) { state.queries = observations?.queries }
        return state
    }

    /// Adds what the stream's retention observes of a step: the attention mass of its slots, the statistics of its queries.
    mutating func observe(
        _ step: RaggedBatch, _ queries: CachedQueries, _ kernel: PagedAttentionKernel, _ batch: PagedBatch, logSumExp: Storage,
        layer: Int, stream: Int
    ) {
        let inputs = step.sequences.map { retentions(of: $0)[stream].inputs }
        let rows = step.sequences.indices.map { observedRows(step.sequences[$0], stream, adding: step.counts[$0]) }
        guard rows.contains(where: { !$0.isEmpty }) else { return }
        for (index, sequence) in step.sequences.enumerated() where !rows[index].isEmpty && observations[sequence] == nil {
            observations[sequence] = shapes.map { StreamObservations(kvHeads: $0.kvHeads) }
        }
        let masses = zip(inputs, rows).map { $0.contains(.mass) && !$0.contains(.rows) ? $1 : 0..<0 }
        if masses.contains(where: { !$0.isEmpty }) {
            addMass(of: masses, step, queries, kernel, batch, logSumExp: logSumExp, stream: stream)
        }
        let weighed = zip(inputs, rows).map { $0.contains(.rows) ? $1 : 0..<0 }
        if weighed.contains(where: { !$0.isEmpty }) {
            addMass(
                of: weighed, step, queries, kernel, batch, logSumExp: logSumExp, stream: stream,
                weighing: weighing(step, group: queries.heads / layouts[stream].kvHeads, layer: layer, stream: stream))
        }
        var first = 0
        for (index, sequence) in step.sequences.enumerated() {
            defer { first += step.counts[index] }
            guard inputs[index].contains(.queries), !rows[index].isEmpty else { continue }
            var statistics =
                observations[sequence]?[stream].queries ?? QueryStatistics(queries, rotation: rotations[stream])
            observations[sequence]?[stream].queries = nil
            statistics.add(
                queries, rows: first + rows[index].lowerBound..<first + rows[index].upperBound,
                position: length(of: sequence) + rows[index].lowerBound)
            observations[sequence]?[stream].queries = statistics
        }
    }

    /// The rows of the next `count` of a sequence, numbered from the first, whose queries its retention observes.
    private func observedRows(_ sequence: Int, _ stream: Int, adding count: Int) -> Range<Int> {
        let retention = retentions(of: sequence)[stream]
        let (held, prompt) = (length(of: sequence), prompt(of: sequence))
        guard retention.observesQueries, retention.nextDecision(after: held, prompt: prompt) != nil else { return 0..<0 }
        let observed = retention.observed(held..<held + count, prompt: prompt)
        return observed.isEmpty ? 0..<0 : observed.lowerBound - held..<observed.upperBound - held
    }

    /// The summands of attention mass that the step's retentions make of a query's weights, `group` query heads to a KV head.
    private func weighing(
        _ step: RaggedBatch, group: Int, layer: Int, stream: Int
    ) -> @Sendable (PagedQuery, inout [Float]) -> Void {
        let parts = step.sequences.map { sequence in
            let table = table(of: sequence)
            return (
                retention: retentions(of: sequence)[stream], held: table.tokens, positions: table.positions[stream],
                prompt: prompt(of: sequence)
            )
        }
        return { query, weights in
            let part = parts[query.sequence]
            let observed = ObservedQuery(
                position: part.held + query.row, prompt: part.prompt, layer: layer, head: query.head,
                positions: part.positions.isEmpty ? [] : part.positions[query.head / group], held: part.held)
            part.retention.weigh(&weights, of: observed)
        }
    }

    /// Adds the attention mass of `rows` of each sequence to its slots', weighed where `weigh` is given.
    private mutating func addMass(
        of rows: [Range<Int>], _ step: RaggedBatch, _ queries: CachedQueries, _ kernel: PagedAttentionKernel,
        _ batch: PagedBatch, logSumExp: Storage, stream: Int,
        weighing weigh: (@Sendable (PagedQuery, inout [Float]) -> Void)? = nil
    ) {
        let slots = zip(step.sequences, step.counts).map { table(of: $0).slots(stream) + $1 }
        let masses = step.sequences.indices.map { index -> Storage in
            guard !rows[index].isEmpty, let held = observations[step.sequences[index]]?[stream].mass else {
                return Storage(count: 0)
            }
            return Storage(copying: held.flatMap { $0 + [Float](repeating: 0, count: slots[index] - $0.count) })
        }
        kernel.addMass(
            qkv: queries.rows, memory: store.memory, batch: batch, logSumExp: logSumExp, rows: rows, into: masses,
            weighing: weigh)
        for (index, sequence) in step.sequences.enumerated() where !rows[index].isEmpty {
            for head in 0..<layouts[stream].kvHeads {
                observations[sequence]?[stream].mass[head] = masses[index].array(head * slots[index]..<(head + 1) * slots[index])
            }
        }
    }

    /// Releases the pages without a slot in `ranges`.
    private func release(_ table: inout BlockTable, _ stream: Int, outside ranges: [Range<Int>]) {
        let size = layouts[stream].tokensPerPage
        for page in table.pages[stream].indices where table.pages[stream][page] != BlockTable.freed {
            let slots = page * size..<(page + 1) * size
            guard !ranges.contains(where: { $0.overlaps(slots) }) else { continue }
            store.pool.release(table.pages[stream][page])
            table.pages[stream][page] = BlockTable.freed
        }
    }

    /// Packs the slots `kept` of each head to the front: in place where the target pages are the sequence's alone, else into its
    /// reserved pages.
    private mutating func pack(_ table: inout BlockTable, _ sequence: Int, _ stream: Int, _ kept: [[Int]]) {
        let (layout, old) = (layouts[stream], table.pages[stream])
        let count = kept.first?.count ?? 0
        precondition(
            kept.count == layout.kvHeads && kept.allSatisfy { $0.count == count },
            "PagedKVCache: heads keep \(kept.map(\.count)) slots, all have to keep as many")
        let pages = layout.pages(tokens: count)
        let isOwn = old.prefix(pages).allSatisfy { store.pool.count(of: $0) == 1 }
        let new = isOwn ? Array(old.prefix(pages)) : Array(table.reserved[stream].prefix(pages))
        precondition(new.count == pages, "PagedKVCache: \(new.count) pages are reserved for a decision that needs \(pages)")
        for (head, slots) in kept.enumerated() where !countsOnly {
            for (slot, source) in slots.enumerated() where !isOwn || slot != source {
                store.memory.copySlot(layout, head: head, from: source, of: old, to: slot, of: new)
            }
        }
        for page in isOwn ? old.dropFirst(pages) : old[...] { store.pool.release(page) }
        for page in isOwn ? table.reserved[stream][...] : table.reserved[stream].dropFirst(pages) { store.pool.release(page) }
        (table.pages[stream], table.reserved[stream]) = (new, [])
        let positions = table.positions[stream]
        table.positions[stream] = kept.enumerated().map { head, slots in
            slots.map { positions.isEmpty ? Int32($0) : positions[head][$0] }
        }
        guard let held = observations[sequence]?[stream].mass else { return }
        let accumulates = retentions(of: sequence)[stream].accumulates
        observations[sequence]?[stream].mass = zip(held, kept).map { mass, slots in
            accumulates && !mass.isEmpty ? slots.map { mass[$0] } : []
        }
    }
}

/// A retention's observations of a stream's queries.
struct StreamObservations: Sendable {
    /// The attention mass of the slots of each KV head; the slots behind an array's end have none yet.
    var mass: [[Float]]
    var queries: QueryStatistics?

    init(kvHeads: Int) { mass = [[Float]](repeating: [], count: kvHeads) }
}

extension Retention {
    /// Whether decisions go by queries, of which a prefix cache keeps nothing.
    var observesQueries: Bool { !inputs.isDisjoint(with: [.mass, .queries]) }
}

extension [any Retention] {
    /// The number of tokens above `tokens` at which a sequence with a prompt of `prompt` tokens is compacted next; nil where none
    /// follows.
    func nextPacking(after tokens: Int, prompt: Int) -> Int? {
        lazy.filter { $0.release == .compaction }.compactMap { $0.nextDecision(after: tokens, prompt: prompt) }.min()
    }
}
