import Kernels
import Models

/// Eviction of slots by the layers' retentions.
extension PagedKVCache {
    /// Tokens of `sequence` until its next compaction, which a step must not exceed; nil where none follows.
    public func tokensToDecision(_ sequence: Int) -> Int? {
        guard decides else { return nil }
        let tokens = length(of: sequence)
        return nextPacking(after: tokens, prompt: promptLengths[sequence] ?? .max).map { $0 - tokens }
    }

    /// The number of tokens above `tokens` at which a sequence with a prompt of `prompt` tokens is compacted next; nil where none
    /// follows.
    func nextPacking(after tokens: Int, prompt: Int) -> Int? {
        retentions.lazy.filter { $0.release == .compaction }.compactMap { $0.nextDecision(after: tokens, prompt: prompt) }.min()
    }

    /// Whether slots of `sequence` were compacted: its pages no longer hold its first tokens.
    func isCompacted(_ sequence: Int) -> Bool { table(of: sequence).isCompacted }

    private func isDecision(_ sequence: Int, _ stream: Int, at tokens: Int) -> Bool {
        guard decides, tokens > 0 else { return false }
        return retentions[stream].nextDecision(after: tokens - 1, prompt: promptLengths[sequence] ?? .max) == tokens
    }

    /// Pages to reserve for the compaction at the last of `count` more tokens: enough for the retained set, where some target
    /// pages are shared or may become shared before it.
    func pagesToReserve(_ sequence: Int, _ table: BlockTable, _ stream: Int, adding count: Int) -> Int {
        let retention = retentions[stream]
        guard retention.release == .compaction, isDecision(sequence, stream, at: table.tokens + count) else { return 0 }
        let kept = min(table.slots(stream) + count, retention.mostRetained(at: table.tokens + count))
        let pages = layouts[stream].pages(tokens: kept)
        let isOwn =
            table.isCompacted && table.pages[stream].prefix(pages).allSatisfy { store.pool.count(of: $0) == 1 }
        return isOwn ? 0 : max(0, pages - table.reserved[stream].count)
    }

    /// Evicts the slots of `sequence` outside the retained sets and releases their pages; true where some were compacted.
    @discardableResult mutating func retain(_ sequence: Int) -> Bool {
        guard decides else { return false }
        var table = table(of: sequence)
        var isPacked = false
        for (stream, retention) in retentions.enumerated() where isDecision(sequence, stream, at: table.tokens) {
            let state = StreamState(
                tokens: table.tokens, prompt: promptLengths[sequence] ?? .max, kvHeads: shapes[stream].kvHeads,
                slots: table.slots(stream),
                positions: table.positions[stream], scores: scores[sequence]?[stream] ?? [])
            switch (retention.release, retention.retained(state)) {
            case (.pages, .ranges(let ranges)): release(&table, stream, outside: ranges)
            case (.pages, .heads): preconditionFailure("PagedKVCache: '\(retention.name)' keeps slots by head in place")
            case (.compaction, .ranges(let ranges)):
                let kept = ranges.flatMap { Array($0) }
                pack(&table, sequence, stream, [[Int]](repeating: kept, count: shapes[stream].kvHeads))
                isPacked = true
            case (.compaction, .heads(let heads)):
                pack(&table, sequence, stream, heads)
                isPacked = true
            }
        }
        tables[sequence] = table
        return isPacked
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
        for (head, slots) in kept.enumerated() {
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
        guard let held = scores[sequence]?[stream] else { return }
        scores[sequence]?[stream] = zip(held, kept).map { scores, slots in slots.map { scores[$0] } }
    }
}
