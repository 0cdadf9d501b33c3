import Kernels
import Models

/// The page accounting of a cache: pages that steps need, allocated before them.
extension PagedKVCache {
    /// Free pages that `count` more tokens of `sequence` need: new pages, copies of shared ones, and pages that a compaction
    /// after the last of the tokens packs slots into.
    public func pagesNeeded(_ sequence: Int, adding count: Int) -> Int {
        let table = table(of: sequence)
        let count = min(count, tokensToDecision(sequence) ?? count)
        let reserved = pagesToReserve(sequence, table, adding: count).reduce(0) { $0 + $1.pages }
        return layouts.indices.reduce(reserved) { total, layer in
            total + missingPages(table, layer, adding: count) + (sharedTail(table, layer, adding: count) == nil ? 0 : 1)
                + openPagesNeeded(table, layer, adding: count)
        }
    }

    /// The most pages a sequence holds until it has `tokens`, computed in chunks of at most `chunk` tokens.
    ///
    /// Monotonic in `tokens`: room for a long sequence is room for each beginning of it. A `retention` of nil is the cache's.
    public func pages(tokens: Int, inChunksOf chunk: Int, retention: (any Retention)? = nil) -> Int {
        let retentions = retention.map { self.retentions(with: $0) } ?? self.retentions
        return budgets(retentions).reduce(0) { pages, streams in
            let (retention, sizes, blocks) = (
                retentions[streams[0]], streams.map { layouts[$0].tokensPerPage }, blocks[streams[0]]
            )
            guard streams.count == 1 else { return pages + retention.mostPages(tokens: tokens, sharedBy: sizes) }
            return pages
                + retention.mostPages(tokens: blocks?.sealed(tokens) ?? tokens, chunk: chunk, slotsPerPage: sizes[0])
                + (blocks?.mostPages(tokens: tokens, chunk: chunk) ?? 0)
        }
    }

    /// Slots in the pages of a layer behind `count` more tokens: all, or those of sealed blocks.
    func sealedSlots(_ layer: Int, _ table: BlockTable, adding count: Int = 0) -> Int {
        blocks[layer]?.sealed(table.tokens + count) ?? table.slots(layer) + count
    }

    private func missingPages(_ table: BlockTable, _ layer: Int, adding count: Int) -> Int {
        max(0, layouts[layer].pages(tokens: sealedSlots(layer, table, adding: count)) - table.pages[layer].count)
    }

    /// Allocates pages for the step's new tokens and copies the shared pages that the step writes into; false, and nothing
    /// changed, where there are too few free pages.
    public mutating func reserve(_ step: RaggedBatch) -> Bool { reserve(zip(step.sequences, step.counts)) }

    /// Reserves pages for `count` new tokens of one sequence.
    mutating func reserve(_ sequence: Int, adding count: Int) -> Bool { reserve([(sequence, count)]) }

    private mutating func reserve(_ new: some Sequence<(Int, Int)>) -> Bool {
        let needed = new.reduce(0) { $0 + pagesNeeded($1.0, adding: $1.1) }
        guard needed > 0 else { return true }
        guard needed <= store.pool.ledger.available(to: owner) else { return false }
        for (sequence, count) in new { grow(sequence, by: count) }
        return true
    }

    /// A shared page that the step would write into; nil after ``reserve(_:)``.
    func sharedWrite(_ step: RaggedBatch) -> Int32? {
        for (sequence, count) in zip(step.sequences, step.counts) {
            let table = table(of: sequence)
            for (layer, pages) in table.pages.enumerated() {
                let (size, slots) = (layouts[layer].tokensPerPage, sealedSlots(layer, table))
                let written = slots / size..<(sealedSlots(layer, table, adding: count) + size - 1) / size
                if let page = pages[written].first(where: { $0 != BlockTable.freed && store.pool.count(of: $0) != 1 }) {
                    return page
                }
                if let open = sharedOpenPages(table, layer, adding: count).first { return table.open[layer][open] }
            }
        }
        return nil
    }

    /// The page that the next of `count` tokens, or the next block of them, goes to, where it is shared with another holder.
    private func sharedTail(_ table: BlockTable, _ layer: Int, adding count: Int) -> Int32? {
        let slots = sealedSlots(layer, table)
        let index = slots / layouts[layer].tokensPerPage
        guard index < table.pages[layer].count, table.pages[layer][index] != BlockTable.freed,
            sealedSlots(layer, table, adding: count) > slots
        else { return nil }
        let page = table.pages[layer][index]
        return store.pool.count(of: page) > 1 ? page : nil
    }

    private mutating func grow(_ sequence: Int, by count: Int) {
        var table = table(of: sequence)
        for layer in layouts.indices {
            if let shared = sharedTail(table, layer, adding: count) {
                table.pages[layer][sealedSlots(layer, table) / layouts[layer].tokensPerPage] = copy(of: shared)
            }
            let missing = missingPages(table, layer, adding: count)
            if missing > 0, let pages = store.pool.allocate(missing, for: owner) { table.pages[layer] += pages }
            growOpenPages(&table, layer, adding: count)
        }
        for (stream, count) in pagesToReserve(sequence, table, adding: count) {
            if let pages = store.pool.allocate(count, for: owner) { table.reserved[stream] += pages }
        }
        tables[sequence] = table
    }

    /// A page with the bytes of `page`, of which this sequence is a holder no longer.
    ///
    /// Precondition: the pool has a free page.
    func copy(of page: Int32) -> Int32 {
        guard let copy = store.pool.allocate(1, for: owner)?.first else {
            preconditionFailure("PagedKVCache: the pool has no page for a copy of \(page)")
        }
        store.memory.copy(from: page, to: copy)
        store.pool.release(page)
        return copy
    }
}
