/// Who holds which pages at one moment, at a resolution that stays cheap to send however many pages there are.
///
/// The pool is cut into cells of equally many pages in a row; cells that read alike are counted together.
///
///     12 pages, 2 a cell:   | a a | a A | . . | . . | b b | . . |      a used, A shared, b of another model
///     runs:                  a2    a1 A1  2 × free    b2    free
public struct PoolMap: Sendable {
    /// Pages by what holds them: one sequence alone, several, or no sequence but a prefix kept in case it comes again.
    public struct Pages: Sendable, Hashable {
        /// Held by one sequence, held by several, and kept for prefixes that nobody uses now.
        public var used = 0, shared = 0, idle = 0

        /// All of them.
        public var held: Int { used + shared + idle }
    }

    /// One sequence's holdings.
    public struct Holder: Sendable {
        /// The request and the output.
        public var request: Int, index: Int
        /// The model's number.
        public var model: Int
        /// Tokens in pages.
        public var tokens: Int
        /// Pages, shared ones included, and those that other sequences hold too.
        public var pages: Int, shared: Int
        /// Bytes of its tokens' keys and values.
        public var logicalBytes: Int
    }

    /// Cells in a row that hold the same.
    public struct Run: Sendable, Hashable {
        /// How many cells.
        public var cells: Int
        /// What each of them holds for each model that has pages in it, by the models' numbers; the rest is free.
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
    /// What each model holds.
    public var models: [Pages]
    /// Pages each model is sure of, and its cache bytes of a token.
    public var guaranteed: [Int], bytesPerToken: [Int]
    /// The sequences that hold pages, the oldest first, and how many wait for some: all, or those of one tenant.
    public var sequences: [Holder], waiting: Int

    /// Pages nobody holds.
    public var free: Int { pages - models.reduce(0) { $0 + $1.held } }
}

extension Engine {
    /// Who holds which pages now, the pool cut into at most `cells` cells; its sequences are those of `tenant` alone unless that is
    /// nil.
    ///
    /// O(pages), with a few nanoseconds for each: no step runs meanwhile.
    public func poolMap(cells: Int = 2048, of tenant: String? = nil) -> PoolMap {
        let pool = store.pool
        // For each page its sequences, as none, one or several.
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
            guaranteed: pool.ledger.guarantees,
            bytesPerToken: caches.map { $0.geometry.reduce(0) { $0 + $1.bytesPerToken } }, sequences: holders,
            waiting: sequences.values.count { !$0.isResident && (tenant == nil || $0.tenant == tenant) })
        // Counted in place: a dictionary would be looked up for each of what may be millions of pages.
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
