import CKernels
import Threads

/// The division of a paged attention into units of work; where it affects results, it depends on the sequences alone.
struct PagedPlan: Sendable {
    enum Work: Sendable {
        /// A block of `rows` rows from the unit's first, in one KV head.
        case block(rows: Int, kvHead: Int)
        /// One row, the whole sequence.
        case row
        /// One row over these tokens, cut into spans: one part for each, from `part` on, in these KV heads.
        case spans(Range<Int>, part: Int, kvHeads: Range<Int>)
        /// Members of a group of rows over tokens that they share, in one KV head.
        case shared(group: Int, members: Range<Int>, tokens: Range<Int>, kvHead: Int, part: Int)
    }

    /// Rows whose sequences begin with the same page, in the order of their tree of pages. A row's parts are adjacent: first the
    /// tokens it shares with most others, then those it shares with fewer, and last its own.
    struct Group: Sendable {
        var rows: [Int64]
        var firstPart: Int
        var partsPerRow: Int
    }

    struct Unit: Sendable {
        var sequence: Int
        var row: Int
        var work: Work
    }

    /// A row computed by itself from token `start` on, with the parts of its own tokens where the earlier ones are shared.
    struct Single: Sendable {
        var sequence: Int
        var row: Int
        var start = 0
        var part: Int?
    }

    var units: [Unit] = []
    var groups: [Group] = []
    /// Rows with several parts to merge.
    var merges: [(row: Int, parts: Range<Int>)] = []
    var parts = 0
    /// Sequences with a common prefix of pages that is attended to once for all of them.
    var shares: [(sequences: [Int], pages: Range<Int>)] = []
    private let batch: PagedBatch

    init(_ kernel: PagedAttentionKernel, _ batch: PagedBatch) {
        self.batch = batch
        // Longest units first: blocks of late rows, widely shared tokens, then single rows.
        let blockRows = max(16, 128 / kernel.group)
        var singles: [Single] = []
        for (sequence, count) in batch.counts.enumerated() {
            let first = batch.firstRow[sequence]
            let blocked = batch.blockCounts[sequence] ?? (count >= PagedAttentionKernel.leastBlockRows ? count : 0)
            singles += (first + blocked..<first + count).map { Single(sequence: sequence, row: $0) }
            guard blocked > 0 else { continue }
            for start in stride(from: (blocked - 1) / blockRows * blockRows, through: 0, by: -blockRows) {
                for kvHead in 0..<kernel.layout.kvHeads {
                    let rows = min(blockRows, blocked - start)
                    units.append(Unit(sequence: sequence, row: first + start, work: .block(rows: rows, kvHead: kvHead)))
                }
            }
        }
        if kernel.sharesPrefixes, kernel.window == nil { share(&singles, kernel, batch) }
        add(singles, kernel, batch)
    }

    /// Whether this plan serves `other`, another layer's batch for the same kernel: the same rows, with every shared prefix of
    /// this plan shared there too.
    func fits(_ other: PagedBatch) -> Bool {
        batch.hasRows(of: other)
            && shares.allSatisfy { share in
                let first = other.pages(share.pages, of: share.sequences[0])
                return share.sequences.dropFirst().allSatisfy { other.pages(share.pages, of: $0).elementsEqual(first) }
            }
    }

    /// Whether each sequence has one row, which attends to all of its tokens by itself.
    func singleRows(of batch: PagedBatch) -> [Bool] {
        var isSingle = zip(batch.counts, batch.blockCounts).map { $0 == 1 && ($1 ?? 0) == 0 }
        for share in shares { for sequence in share.sequences { isSingle[sequence] = false } }
        return isSingle
    }

    /// Adds rows that are computed by themselves, longest first.
    ///
    /// A row with more than a thread's share of the tokens would delay the others: its spans become units of their own, each of
    /// half the heads. Spans and merge order stay the same, so the sums do too.
    private mutating func add(_ singles: [Single], _ kernel: PagedAttentionKernel, _ batch: PagedBatch) {
        let threads = kernel.threads ?? Parallel.threads
        var rows = singles.map { single -> (single: Single, ranges: [Range<Int>], tokens: Int) in
            let limit = batch.end(single.row)
            let ranges =
                single.part == nil
                ? kernel.ranges(of: single.row, batch)
                : stride(from: single.start, to: limit, by: PagedAttentionKernel.span).map {
                    $0..<min($0 + PagedAttentionKernel.span, limit)
                }
            return (single, ranges, ranges.reduce(0) { $0 + $1.count })
        }
        rows.sort { ($1.tokens, $0.single.row) < ($0.tokens, $1.single.row) }
        let total = rows.reduce(0) { $0 + $1.tokens }
        let kvHeads = kernel.layout.kvHeads
        let halves = [0..<kvHeads / 2, kvHeads / 2..<kvHeads].filter { !$0.isEmpty }
        for (single, ranges, tokens) in rows {
            let isDivided = threads > 1 && ranges.count > 1 && tokens * 4 * threads > total
            guard isDivided || single.part != nil else {
                units.append(Unit(sequence: single.sequence, row: single.row, work: .row))
                continue
            }
            let first = single.part ?? parts
            if isDivided {
                for (index, range) in ranges.enumerated() {
                    for heads in halves {
                        units.append(
                            Unit(
                                sequence: single.sequence, row: single.row,
                                work: .spans(range, part: first + index, kvHeads: heads)))
                    }
                }
            } else {
                let limit = batch.end(single.row)
                units.append(
                    Unit(
                        sequence: single.sequence, row: single.row,
                        work: .spans(single.start..<limit, part: first, kvHeads: 0..<kvHeads)))
            }
            guard single.part == nil else { continue }
            parts += ranges.count
            merges.append((single.row, first..<parts))
        }
    }
}

/// Attention to shared tokens in two phases (Ye et al. 2024, ChunkAttention), over the tree of the rows' pages.
///
///     rows' pages   1 2 3 4 …      1 2 3 are shared by all three rows, 4 by two of them once more:
///                   1 2 3 4 …      parts [1 2 3] [4] [own], [1 2 3] [4] [own], [1 2 3] [own]
///                   1 2 3 7 …
extension PagedPlan {
    /// Tokens of a shared unit.
    private static let sharedSpan = 256

    /// A group under construction.
    private struct Tree {
        let kernel: PagedAttentionKernel
        let batch: PagedBatch
        /// Rows with shared tokens, in tree order, with the first token and the first part of their own.
        var rows: [(single: Single, start: Int, part: Int)] = []
        /// Shared tokens, the members of `rows` that share them, and the first of their parts.
        var runs: [(members: Range<Int>, tokens: Range<Int>, part: Int)] = []

        /// Whole pages of tokens before the row's own.
        private func pages(_ single: Single) -> Int { (batch.end(single.row) - 1) / kernel.layout.tokensPerPage }

        private func page(_ single: Single, _ index: Int) -> Int32 { batch.tables[batch.firstPage[single.sequence] + index] }

        /// Whether this many rows justify two phases: matrices of at least 8 queries.
        static func isEnough(_ members: Int, _ kernel: PagedAttentionKernel) -> Bool {
            members > 1 && members * kernel.group >= 8
        }

        /// Adds rows with the same pages up to page `index`, whose tokens before `start` are in parts before `part`.
        mutating func add(_ members: [Single], page index: Int = 0, start: Int = 0, part: Int = 0) {
            let slots = kernel.layout.tokensPerPage
            let shortest = members.map { pages($0) }.min() ?? 0
            var (end, start, part) = (index, start, part)
            while end < shortest, members.allSatisfy({ page($0, end) == page(members[0], end) }) { end += 1 }
            // A run needs enough tokens to be shared. After a first run half as many suffice, so that a row that ends within a
            // run does not leave much of it to each of the others.
            if end * slots - start >= PagedAttentionKernel.sharedTokens / (start > 0 ? 2 : 1) {
                runs.append((rows.count..<rows.count + members.count, start..<end * slots, part))
                part += (end * slots - start + PagedPlan.sharedSpan - 1) / PagedPlan.sharedSpan
                start = end * slots
            }
            var branches: [Int32: [Single]] = [:]
            var rest: [Single] = []
            for member in members {
                if end < pages(member) { branches[page(member, end), default: []].append(member) } else { rest.append(member) }
            }
            for (_, branch) in branches.sorted(by: { $0.key < $1.key }) {
                if Self.isEnough(branch.count, kernel) {
                    add(branch, page: end, start: start, part: part)
                } else {
                    rest += branch
                }
            }
            if start > 0 { rows += rest.map { ($0, start, part) } }
        }
    }

    /// Plans the tokens that enough of `singles` share; the rows' own tokens remain in `singles`.
    private mutating func share(_ singles: inout [Single], _ kernel: PagedAttentionKernel, _ batch: PagedBatch) {
        var byPage: [Int32: [Single]] = [:]
        for single in singles where batch.end(single.row) > PagedAttentionKernel.sharedTokens {
            byPage[batch.tables[batch.firstPage[single.sequence]], default: []].append(single)
        }
        var shared: [Int: Single] = [:]
        for (_, members) in byPage.sorted(by: { $0.key < $1.key }) where Tree.isEnough(members.count, kernel) {
            var tree = Tree(kernel: kernel, batch: batch)
            tree.add(members)
            guard !tree.rows.isEmpty else { continue }
            let counts = tree.rows.map { row in
                let own = batch.end(row.single.row) - row.start
                return row.part + (own + PagedAttentionKernel.span - 1) / PagedAttentionKernel.span
            }
            let group = Group(
                rows: tree.rows.map { batch.numbers[$0.single.row] }, firstPart: parts, partsPerRow: counts.max() ?? 0)
            for run in tree.runs {
                add(run, of: tree.rows[run.members.lowerBound].single, kernel)
                let slots = kernel.layout.tokensPerPage
                shares.append(
                    (
                        tree.rows[run.members].map(\.single.sequence),
                        run.tokens.lowerBound / slots..<run.tokens.upperBound / slots
                    ))
            }
            for (index, row) in tree.rows.enumerated() {
                let first = parts + index * group.partsPerRow
                shared[row.single.row] = Single(
                    sequence: row.single.sequence, row: row.single.row, start: row.start, part: first + row.part)
                merges.append((row.single.row, first..<first + counts[index]))
            }
            parts += tree.rows.count * group.partsPerRow
            groups.append(group)
        }
        singles = singles.map { shared[$0.row] ?? $0 }
    }

    /// Adds the units of one shared run of the next group, in the pages of `first`.
    private mutating func add(
        _ run: (members: Range<Int>, tokens: Range<Int>, part: Int), of first: Single, _ kernel: PagedAttentionKernel
    ) {
        let rowsPerUnit = max(1, Int(KK_PAGED_STRIP) / kernel.group)
        for start in stride(from: run.members.lowerBound, to: run.members.upperBound, by: rowsPerUnit) {
            let members = start..<min(start + rowsPerUnit, run.members.upperBound)
            let spans = stride(from: run.tokens.lowerBound, to: run.tokens.upperBound, by: Self.sharedSpan)
            for (index, token) in spans.enumerated() {
                let tokens = token..<min(token + Self.sharedSpan, run.tokens.upperBound)
                for kvHead in 0..<kernel.layout.kvHeads {
                    units.append(
                        Unit(
                            sequence: first.sequence, row: first.row,
                            work: .shared(
                                group: groups.count, members: members, tokens: tokens, kvHead: kvHead, part: run.part + index)))
                }
            }
        }
    }
}

/// A cache of the last plans, one for each kind of attention, so that the layers of a step share a plan.
public struct PagedPlans: Sendable {
    private var plans: [PagedAttentionKernel: PagedPlan] = [:]

    /// An empty cache.
    public init() {}

    mutating func plan(_ kernel: PagedAttentionKernel, _ batch: PagedBatch) -> PagedPlan {
        if let plan = plans[kernel], plan.fits(batch) { return plan }
        let plan = PagedPlan(kernel, batch)
        plans[kernel] = plan
        return plan
    }
}
