import Kernels
import Models

/// The open blocks of a layer whose encoding takes blocks of tokens: pages of unrounded elements for the tokens that wait for
/// their block to be full, one list of pages a sequence.
///
/// Behind T tokens the first S = ⌊(T − residual) / N⌋ · N are sealed, in blocks of N; the row of token T sees their codes, and the
/// others unrounded. A step that fills a block seals it as soon as the block's rows are computed and goes on in its pages:
///
///     blocks of 4, pages of 2, a step of 7 tokens behind 3:
///     pages a b     tokens 0 1|2 .     3 fills the block: 0…3 are sealed, 4…7 go to a b once more, are sealed, then 8 9 to a
struct OpenBlocks: Sendable {
    /// The layout of the pages: a power of two of tokens each, of which a block has whole pages.
    let layout: PagedLayout
    /// The encoding of sealed blocks.
    private let encoding: KVEncoding
    /// Whether other layers read the pages after a step of this one: a step's tokens then keep their places to its end.
    private let isShared: Bool

    /// The open blocks of a layer of `geometry`; nil where not even one of its tokens fits a page.
    init?(_ geometry: KVGeometry, pageBytes: Int, isShared: Bool) {
        guard
            let layout = PagedLayout(
                kvHeads: geometry.kvHeads, keyDim: geometry.keyDim, valueDim: geometry.valueDim,
                valuesAreKeys: geometry.valuesAreKeys, encoding: geometry.encoding.open, pageBytes: pageBytes,
                part: geometry.encoding.blockTokens)
        else { return nil }
        (self.layout, self.isShared, encoding) = (layout, isShared, geometry.encoding)
    }

    /// Tokens of a block.
    var tokens: Int { encoding.blockTokens }

    /// Sealed tokens behind `tokens`.
    func sealed(_ tokens: Int) -> Int { encoding.sealedTokens(of: tokens) }

    /// Pages of the most tokens that are open at a time.
    private var fullPages: Int { (tokens + encoding.residual) / layout.tokensPerPage }

    /// Pages during a step from `held` tokens to `tokens`; behind the step where these are equal.
    func pages(from held: Int, to tokens: Int) -> Int {
        let pages = layout.pages(tokens: tokens - sealed(held))
        return isShared ? pages : min(pages, fullPages)
    }

    /// The most pages until a sequence has `tokens`, in steps of at most `chunk`.
    func mostPages(tokens: Int, chunk: Int) -> Int {
        let most = isShared ? layout.pages(tokens: self.tokens + encoding.residual - 1 + min(chunk, tokens)) : fullPages
        return min(layout.pages(tokens: tokens), most)
    }

    /// The places of the tokens `range` among the `pages` of a step behind `held` tokens.
    func places(_ range: Range<Int>, behind held: Int, of pages: Int) -> [Int] {
        guard pages > 0 else { return [] }
        let first = (range.lowerBound - sealed(held)) / layout.tokensPerPage
        let last = (range.upperBound - sealed(held) + layout.tokensPerPage - 1) / layout.tokensPerPage
        return (first..<max(first, last)).map { $0 % pages }
    }
}

/// A part of a step whose rows see the same sealed blocks, sequence by sequence: attention is cut at multiples of a block.
struct BlockRound: Sendable {
    /// A block that the round's rows fill: the first slots of `open`, to the slots from `target` on of `page`.
    struct Seal: Sendable {
        var open: [Int32]
        var page: Int32
        var target: Int
    }

    /// The rows over the sealed tokens, and over the open ones.
    let sealed: PagedBatch, open: PagedBatch
    let seals: [Seal]
    /// Whether some row sees sealed tokens.
    let seesSealed: Bool

    /// The rounds of a step of `counts` tokens for sequences with the tables `held`, of which `blockCounts` are computed in blocks.
    static func rounds(
        _ held: [BlockTable], _ counts: [Int], _ blockCounts: [Int?], _ stream: Int, _ layout: PagedLayout, _ blocks: OpenBlocks
    ) -> [BlockRound] {
        /// Tokens of each sequence computed so far.
        var done = [Int](repeating: 0, count: held.count)
        var rounds: [BlockRound] = []
        while zip(done, counts).contains(where: { $0 < $1 }) {
            var (sealedParts, openParts, seals) = ([PagedSequence](), [PagedSequence](), [Seal]())
            var row = 0
            for (index, table) in held.enumerated() {
                defer { row += counts[index] }
                let start = table.tokens + done[index]
                let end = min((start / blocks.tokens + 1) * blocks.tokens, table.tokens + counts[index])
                guard start < end else { continue }
                let sealed = blocks.sealed(start)
                let places = blocks.places(sealed..<end, behind: table.tokens, of: table.open[stream].count)
                let pages = places.map { table.open[stream][$0] }
                // A chunk's rows are computed alike wherever it is cut.
                let blocked = blockCounts[index] ?? (counts[index] >= PagedAttentionKernel.leastBlockRows ? counts[index] : 0)
                var part = PagedSequence(pages: pages, held: start - sealed, count: end - start)
                (part.row, part.position) = (row + done[index], sealed)
                part.blockCount = max(0, min(blocked - done[index], end - start))
                openParts.append(part)
                (part.pages, part.held, part.stored, part.position) = (table.pages[stream], start, sealed, 0)
                sealedParts.append(part)
                let page = sealed / layout.tokensPerPage
                // A page that a window has passed already takes no more blocks.
                if blocks.sealed(end) > sealed, table.pages[stream][page] != BlockTable.freed {
                    seals.append(
                        Seal(open: pages, page: table.pages[stream][page], target: sealed % layout.tokensPerPage))
                }
                done[index] += end - start
            }
            rounds.append(
                BlockRound(
                    sealed: PagedBatch(sealedParts, layout: layout), open: PagedBatch(openParts, layout: blocks.layout),
                    seals: seals, seesSealed: sealedParts.contains { $0.stored ?? 0 > 0 }))
        }
        return rounds
    }
}

/// Attention to sealed blocks and the open one, and the open blocks' pages.
extension PagedKVCache {
    /// Stores and attends round by round, and seals the blocks that a round fills; `kernel` is that of the sealed blocks.
    mutating func attend(
        _ queries: CachedQueries, _ rounds: [BlockRound], _ blocks: OpenBlocks, _ kernel: PagedAttentionKernel,
        into output: Storage, logSumExp: Storage
    ) {
        var open = PagedAttentionKernel(layout: blocks.layout, heads: kernel.heads, scale: kernel.scale)
        (open.sharesPrefixes, open.storesKeys) = (kernel.sharesPrefixes, kernel.storesKeys)
        (open.window, open.sinks, open.alignsWindows) = (kernel.window, kernel.sinks, kernel.alignsWindows)
        for round in rounds {
            let (rows, parts) = (round.open.rows, round.seesSealed ? 2 : 1)
            let outputs = Storage(count: parts * rows * kernel.heads * kernel.layout.valueDim)
            let sums = Storage(count: parts * rows * kernel.heads)
            open.run(
                qkv: queries.rows, memory: store.memory, batch: round.open, plans: &plans, into: outputs, logSumExp: sums,
                first: (parts - 1) * rows)
            if round.seesSealed {
                kernel.run(
                    qkv: queries.rows, memory: store.memory, batch: round.sealed, plans: &plans, into: outputs, logSumExp: sums,
                    storing: false)
            }
            open.merge(parts: parts, outputs, sums, of: round.open, into: output, logSumExp: logSumExp)
            guard kernel.storesKeys else { continue }
            for seal in round.seals {
                store.memory.seal(
                    blocks.layout, from: 0, of: seal.open, to: kernel.layout, seal.page, at: seal.target)
            }
        }
    }

    /// Releases the open pages of blocks that the next `count` tokens of a sequence fill.
    mutating func releaseSealed(_ sequence: Int, adding count: Int) {
        guard blocks.contains(where: { $0 != nil }) else { return }
        var table = table(of: sequence)
        let tokens = table.tokens + count
        for (layer, blocks) in blocks.enumerated() {
            guard let blocks else { continue }
            let pages = table.open[layer]
            let kept = blocks.places(blocks.sealed(tokens)..<tokens, behind: table.tokens, of: pages.count)
            for (place, page) in pages.enumerated() where !kept.contains(place) { store.pool.release(page) }
            table.open[layer] = kept.map { pages[$0] }
        }
        tables[sequence] = table
    }

    /// Free pages that the open block of a layer needs for `count` more tokens: new ones, and copies of shared ones.
    func openPagesNeeded(_ table: BlockTable, _ layer: Int, adding count: Int) -> Int {
        guard let blocks = blocks[layer] else { return 0 }
        return max(0, blocks.pages(from: table.tokens, to: table.tokens + count) - table.open[layer].count)
            + sharedOpenPages(table, layer, adding: count).count
    }

    /// The places of the open pages that `count` more tokens are written to and that other holders share.
    func sharedOpenPages(_ table: BlockTable, _ layer: Int, adding count: Int) -> Set<Int> {
        guard let blocks = blocks[layer], count > 0 else { return [] }
        let (held, pages) = (table.open[layer], blocks.pages(from: table.tokens, to: table.tokens + count))
        let written = blocks.places(table.tokens..<table.tokens + count, behind: table.tokens, of: max(held.count, pages))
        return Set(written.filter { $0 < held.count && store.pool.count(of: held[$0]) > 1 })
    }

    /// Allocates the pages of ``openPagesNeeded(_:_:adding:)``.
    mutating func growOpenPages(_ table: inout BlockTable, _ layer: Int, adding count: Int) {
        guard let blocks = blocks[layer] else { return }
        for place in sharedOpenPages(table, layer, adding: count) {
            table.open[layer][place] = copy(of: table.open[layer][place])
        }
        let missing = blocks.pages(from: table.tokens, to: table.tokens + count) - table.open[layer].count
        if missing > 0, let pages = store.pool.allocate(missing, for: owner) { table.open[layer] += pages }
    }
}
