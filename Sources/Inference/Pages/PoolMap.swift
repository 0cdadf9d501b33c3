/// A map of the pool at one moment: the holders of its pages, at a resolution that stays cheap to send at any pool size.
///
/// The pool is cut into cells of equally many consecutive pages; consecutive cells with equal counts form one run.
///
///     12 pages, 2 a cell:   | a a | a A | . . | . . | b b | . . |      a used, A shared, b of another model
///     runs:                  a2    a1 A1  2 × free    b2    free
public struct PoolMap: Sendable {
    /// Page counts by kind of holder: one sequence, several sequences, or only the prefix cache.
    public struct Pages: Sendable, Hashable {
        /// Pages held by one sequence, by several sequences, and only by the prefix cache.
        public var used = 0, shared = 0, idle = 0

        /// Pages with a holder.
        public var held: Int { used + shared + idle }
    }

    /// One sequence and its pages.
    public struct Holder: Sendable {
        /// The request's number and the output's index.
        public var request: Int, index: Int
        /// The model's number.
        public var model: Int
        /// Tokens in pages.
        public var tokens: Int
        /// Its pages, shared ones included, and the pages it shares with other sequences.
        public var pages: Int, shared: Int
        /// Bytes of its tokens' keys and values.
        public var logicalBytes: Int
    }

    /// Consecutive cells with equal counts.
    public struct Run: Sendable, Hashable {
        /// Number of cells.
        public var cells: Int
        /// Pages held in each cell by each model with pages in it, keyed by the models' numbers; the rest is free.
        public var held: [Int: Pages]
    }

    /// Bytes of a page.
    public var pageBytes: Int
    /// Pages in all.
    public var pages: Int
    /// Pages of a cell; the last one may have fewer.
    public var pagesPerCell: Int
    /// The cells, from the first page on.
    public var runs: [Run]
    /// Pages held by each model.
    public var models: [Pages]
    /// Prefixes of each model that are kept as evictions left them.
    public var compressedPrefixes: [Int]
    /// The guarantee of each model in pages, and its cache bytes a token.
    public var guaranteed: [Int], bytesPerToken: [Int]
    /// The resident sequences, oldest first, and the number of waiting ones: all, or those of one tenant.
    public var sequences: [Holder], waiting: Int

    /// Free pages.
    public var free: Int { pages - models.reduce(0) { $0 + $1.held } }
}

extension Engine {
    /// The map of the pool now, cut into at most `cells` cells; lists only the sequences of `tenant` unless that is nil.
    ///
    /// O(pages), at a few nanoseconds a page, during which no step runs.
    public func poolMap(cells: Int = 2048, of tenant: String? = nil) -> PoolMap {
        let pool = store.pool
        // The number of sequences of each page: none, one or several.
        var users = [UInt8](repeating: 0, count: pool.pages)
        let resident = sequences.values.filter(\.isResident).sorted { $0.id < $1.id }
        let tables = resident.map { sequence in
            let table = caches[sequence.model].table(of: sequence.id)
            return (tokens: table.tokens, pages: table.allPages)
        }
        for table in tables { for page in table.pages where users[Int(page)] < 2 { users[Int(page)] += 1 } }
        let holders = zip(resident, tables).filter { tenant == nil || $0.0.tenant == tenant }.map { sequence, table in
            PoolMap.Holder(
                request: sequence.request, index: sequence.index, model: sequence.model, tokens: table.tokens,
                pages: table.pages.count, shared: table.pages.count { users[Int($0)] > 1 },
                logicalBytes: caches[sequence.model].logicalBytes(of: sequence.id))
        }
        var map = PoolMap(
            pageBytes: store.pageBytes, pages: pool.pages, pagesPerCell: max(1, (pool.pages + cells - 1) / max(1, cells)),
            runs: [],
            models: [PoolMap.Pages](repeating: PoolMap.Pages(), count: models.count),
            compressedPrefixes: models.indices.map { model in contexts.count { $0.model == model } },
            guaranteed: pool.ledger.guarantees,
            bytesPerToken: caches.map(\.geometry.bytesPerToken), sequences: holders,
            waiting: sequences.values.count { !$0.isResident && (tenant == nil || $0.tenant == tenant) })
        // Counted in place: a dictionary look-up for each of possibly millions of pages would be slow.
        var counts = map.models
        for start in stride(from: 0, to: pool.pages, by: map.pagesPerCell) {
            for page in start..<min(pool.pages, start + map.pagesPerCell) {
                guard let owner = pool.owner(of: Int32(page)) else { continue }
                switch users[page] {
                case 0: counts[owner].idle += 1
                case 1: counts[owner].used += 1
                default: counts[owner].shared += 1
                }
            }
            var held: [Int: PoolMap.Pages] = [:]
            for owner in counts.indices where counts[owner].held > 0 {
                held[owner] = counts[owner]
                map.models[owner].used += counts[owner].used
                map.models[owner].shared += counts[owner].shared
                map.models[owner].idle += counts[owner].idle
                counts[owner] = PoolMap.Pages()
            }
            if let last = map.runs.last, last.held == held {
                map.runs[map.runs.count - 1].cells += 1
            } else {
                map.runs.append(PoolMap.Run(cells: 1, held: held))
            }
        }
        return map
    }
}
