import CKernels

/// A sequence's part in a paged attention: its pages of one layer, the tokens held in them, and its new ones.
public struct PagedSequence: Sendable {
    /// Pages in the order of the tokens; room for `held` + `count`. Negative ones are gone: they lie behind the window.
    public var pages: [Int32]
    /// Tokens held before the new ones.
    public var held: Int
    /// New tokens: as many rows of the batch.
    public var count: Int
    /// How many of them, from the first on, go in blocks, the others one by one; nil leaves that to their number.
    public var blockCount: Int?

    /// `count` new tokens behind `held` ones in `pages`.
    public init(pages: [Int32], held: Int, count: Int) {
        self.pages = pages
        self.held = held
        self.count = count
    }
}

/// Attention of a ragged batch over one layer's pages, read in place.
///
/// Few queries of a sequence go token by token, over spans that end at multiples of ``span`` and are merged by their
/// log-sum-exp; more go in blocks, each with all the heads of a group. Neither depends on what else is in the batch or on
/// the number of threads.
public struct PagedAttentionKernel: Sendable, Hashable {
    /// What lies in a page.
    public let layout: PagedLayout
    /// Query heads; a multiple of the layout's KV heads.
    public let heads: Int
    /// Factor on the scores.
    public let scale: Float
    /// New tokens of a sequence from which on they are attended to in blocks.
    public var blockThreshold = 4
    /// Whether sequences that begin with the same pages, one new token each, attend to those together: first the shared tokens
    /// with all their queries at once, then what fewer share, then each its own (Ye et al. 2024, ChunkAttention). Sums then
    /// depend on who shares.
    public var sharesPrefixes = true
    /// Tokens a row sees at most, its own included (Beltagy et al. 2020, sliding window); nil for all.
    public var window: Int?
    /// First tokens that a row sees beside its window (Xiao et al. 2023, attention sinks).
    public var sinks = 0
    /// Whether blocks begin at multiples of their size even where a window does not, so that sums don't depend on how a
    /// sequence was cut. Tokens in front of the window are then read, unseen: their pages must be there.
    public var alignsWindows = false
    /// Threads that the work is cut for; nil for those there are. Results don't depend on it.
    var threads: Int?
    /// Whether rows bring keys and values to store; where not, they were stored by another layer.
    public var storesKeys = true

    /// Tokens attended to at a time by single queries.
    public static let span = Int(KK_PAGED_SPAN)

    /// Tokens that sequences have in common at least where they attend to them together.
    public static let sharedTokens = 64

    /// Tokens in a block.
    public static let blockTokens = Int(KK_PAGED_BLOCK)

    /// A layer's attention; a `scale` of nil is 1/√keyDim.
    public init(layout: PagedLayout, heads: Int, scale: Float? = nil) {
        precondition(heads % layout.kvHeads == 0, "attention: \(heads) heads cannot share \(layout.kvHeads) KV heads")
        self.layout = layout
        self.heads = heads
        self.scale = scale ?? 1 / Float(layout.keyDim).squareRoot()
    }

    /// Elements in a row of qkv: [heads·keyDim | kvHeads·keyDim | kvHeads·valueDim], without values where these are the keys',
    /// and without either where rows bring none.
    public var rowWidth: Int {
        heads * layout.keyDim
            + (storesKeys ? layout.kvHeads * (layout.keyDim + (layout.valuesAreKeys ? 0 : layout.valueDim)) : 0)
    }

    /// The tokens that a row which sees tokens below `limit` attends to: cut at multiples of ``span``.
    func ranges(below limit: Int) -> [Range<Int>] {
        func cut(_ range: Range<Int>) -> [Range<Int>] {
            guard !range.isEmpty else { return [] }
            return (range.lowerBound / Self.span...(range.upperBound - 1) / Self.span).map {
                max(range.lowerBound, $0 * Self.span)..<min(range.upperBound, ($0 + 1) * Self.span)
            }
        }
        guard let window, window < limit else { return cut(0..<limit) }
        let low = limit - window
        return cut(0..<min(sinks, low)) + cut(low..<limit)
    }

    /// Stores the keys and values of qkv [rows, rowWidth] behind those held, then attends from each row to all tokens of its
    /// sequence up to itself: output [rows, heads·valueDim], logSumExp [rows, heads]. Goes by one of `plans` where that fits.
    public func run(
        qkv: Storage, memory: PageMemory, batch: PagedBatch, plans: inout PagedPlans, into output: Storage, logSumExp: Storage
    ) {
        check(batch, memory, qkv: qkv)
        precondition(
            output.count >= batch.rows * heads * layout.valueDim && logSumExp.count >= batch.rows * heads,
            "paged attention: \(batch.rows) rows don't fit the output")
        if storesKeys { store(qkv, batch, memory) }
        attend(qkv, batch, plans.plan(self, batch), memory, into: output, logSumExp: logSumExp)
    }

    /// The attention each token of each sequence gets in each KV head, summed over the query heads that share it and the
    /// sequence's rows: for each sequence [kvHeads, tokens], the new tokens included. Keys are as
    /// ``run(qkv:memory:batch:plans:into:logSumExp:)`` left them.
    public func mass(qkv: Storage, memory: PageMemory, batch: PagedBatch, logSumExp: Storage) -> [Storage] {
        check(batch, memory, qkv: qkv)
        precondition(logSumExp.count >= batch.rows * heads, "paged attention: logSumExp has not \(batch.rows) rows")
        let lengths = zip(batch.held, batch.counts).map { $0 + $1 }
        let results = lengths.map { Storage(repeating: 0, count: layout.kvHeads * $0) }
        Parallel.forEach(lengths.count) { index in
            let scratch = Storage(count: rowScratch)
            let tokens = lengths[index]
            for row in batch.firstRow[index]..<batch.firstRow[index] + batch.counts[index] {
                for range in ranges(below: Int(batch.limits[row])) {
                    let start = range.lowerBound
                    unsafe batch.withJob(self, memory, qkv: qkv, sequence: index) { job in
                        unsafe job.from = Int64(start)
                        unsafe job.to = Int64(range.upperBound)
                        unsafe job.rows += row
                        unsafe job.limits += row
                        unsafe job.kvHeadCount = 1
                        unsafe decoding(&job, range, kvHeads: 0..<layout.kvHeads) { job in
                            for kvHead in 0..<layout.kvHeads {
                                unsafe job.firstKvHead = Int64(kvHead)
                                unsafe kernels.paged.mass(
                                    &job, logSumExp.pointer + row * heads, results[index].pointer + kvHead * tokens + start,
                                    scratch.pointer)
                            }
                        }
                    }
                }
            }
        }
        return results
    }

    var group: Int { heads / layout.kvHeads }

    var rowScratch: Int {
        Int(kk_paged_row_scratch(Int64(layout.kvHeads), Int64(group), Int64(layout.keyDim), Int64(layout.valueDim)))
    }

    private func check(_ batch: PagedBatch, _ memory: PageMemory, qkv: Storage) {
        batch.check(self, memory)
        precondition(qkv.count >= batch.rows * rowWidth, "paged attention: qkv has not \(batch.rows) rows of \(rowWidth)")
    }

    private func store(_ qkv: Storage, _ batch: PagedBatch, _ memory: PageMemory) {
        guard layout.encoding.codec.kernel != nil else { return encode(qkv, batch, memory) }
        let keys = heads * layout.keyDim
        let values = keys + layout.kvHeads * layout.keyDim
        Parallel.forRanges(batch.rows, grain: max(1, 1 << 14 / max(1, rowWidth - keys))) { range in
            unsafe batch.tables.withUnsafeBufferPointer { tables in
                for row in range {
                    let table = unsafe tables.baseAddress! + batch.firstPage[batch.sequenceOf[row]]
                    var cache = unsafe layout.job(memory.base, pages: table)
                    let from = unsafe qkv.pointer + row * rowWidth
                    unsafe kernels.paged.store(&cache, batch.limits[row] - 1, from + keys, from + values)
                }
            }
        }
    }

    private func attend(
        _ qkv: Storage, _ batch: PagedBatch, _ plan: PagedPlan, _ memory: PageMemory, into output: Storage, logSumExp: Storage
    ) {
        let width = heads * layout.valueDim
        let partial = (output: Storage(count: plan.parts * width), logSumExp: Storage(count: plan.parts * heads))
        Parallel.forEach(plan.units.count) { index in
            let unit = plan.units[index]
            unsafe batch.withJob(self, memory, qkv: qkv, sequence: unit.sequence) { job in
                unsafe job.rows += unit.row
                unsafe job.limits += unit.row
                switch unit.work {
                case .shared(let group, let members, let tokens, let kvHead, let part):
                    let shared = plan.groups[group]
                    let rows = Array(shared.rows[members])
                    let seen = [Int64](repeating: Int64(tokens.upperBound), count: rows.count)
                    let scratch = Storage(
                        count: Int(
                            kk_paged_block_scratch(
                                Int64(rows.count), Int64(self.group), Int64(layout.keyDim), Int64(layout.valueDim))))
                    let first = shared.firstPart + members.lowerBound * shared.partsPerRow + part
                    unsafe rows.withUnsafeBufferPointer { rows in
                        unsafe seen.withUnsafeBufferPointer { seen in
                            guard let rowNumbers = rows.baseAddress, let limits = seen.baseAddress else { return }
                            unsafe job.rows = rowNumbers
                            unsafe job.limits = limits
                            unsafe job.from = Int64(tokens.lowerBound)
                            unsafe job.to = Int64(tokens.upperBound)
                            unsafe job.count = Int64(rows.count)
                            unsafe job.step = Int64(shared.partsPerRow)
                            unsafe job.firstKvHead = Int64(kvHead)
                            unsafe job.kvHeadCount = 1
                            unsafe job.output = partial.output.pointer + first * width
                            unsafe job.logSumExp = partial.logSumExp.pointer + first * heads
                            unsafe decoding(&job, tokens, kvHeads: kvHead..<kvHead + 1) { job in
                                unsafe kernels.paged.block(&job, scratch.pointer)
                            }
                        }
                    }
                case .spans(let tokens, let part, let kvHeads):
                    unsafe job.firstKvHead = Int64(kvHeads.lowerBound)
                    unsafe job.kvHeadCount = Int64(kvHeads.count)
                    unsafe Scratch.with(rowScratch) { scratch in
                        var part = part
                        for start in stride(from: tokens.lowerBound, to: tokens.upperBound, by: Self.span) {
                            unsafe job.from = Int64(start)
                            unsafe job.to = Int64(min(start + Self.span, tokens.upperBound))
                            unsafe job.output = partial.output.pointer + part * width
                            unsafe job.logSumExp = partial.logSumExp.pointer + part * heads
                            unsafe decoding(&job, Int(job.from)..<Int(job.to), kvHeads: kvHeads) { job in
                                unsafe kernels.paged.row(&job, scratch)
                            }
                            part += 1
                        }
                    }
                case .block(let rows, let kvHead):
                    let scratch = Storage(
                        count: Int(
                            kk_paged_block_scratch(Int64(rows), Int64(group), Int64(layout.keyDim), Int64(layout.valueDim))))
                    unsafe job.count = Int64(rows)
                    unsafe job.window = Int64(window ?? 0)
                    unsafe job.sinks = Int64(sinks)
                    unsafe job.aligned = alignsWindows ? 1 : 0
                    unsafe job.firstKvHead = Int64(kvHead)
                    unsafe job.kvHeadCount = 1
                    unsafe job.output = output.pointer + unit.row * width
                    unsafe job.logSumExp = logSumExp.pointer + unit.row * heads
                    let last = Int(batch.limits[unit.row + rows - 1])
                    unsafe decoding(&job, 0..<last, kvHeads: kvHead..<kvHead + 1) { job in
                        unsafe kernels.paged.block(&job, scratch.pointer)
                    }
                case .row:
                    let ranges = ranges(below: Int(batch.limits[unit.row]))
                    unsafe Scratch.with(rowScratch + ranges.count * (width + heads)) { scratch in
                        let outputs = unsafe scratch + rowScratch
                        let sums = unsafe outputs + ranges.count * width
                        for (part, range) in ranges.enumerated() {
                            unsafe job.from = Int64(range.lowerBound)
                            unsafe job.to = Int64(range.upperBound)
                            unsafe job.output = outputs + part * width
                            unsafe job.logSumExp = sums + part * heads
                            unsafe decoding(&job, range, kvHeads: 0..<layout.kvHeads) { job in
                                unsafe kernels.paged.row(&job, scratch)
                            }
                        }
                        unsafe kernels.paged.merge(
                            Int64(ranges.count), outputs, Int64(width), sums, Int64(heads), Int64(heads), Int64(layout.valueDim),
                            output.pointer + unit.row * width, logSumExp.pointer + unit.row * heads)
                    }
                }
            }
        }
        Parallel.forRanges(plan.merges.count, grain: 8) { range in
            for merge in plan.merges[range] {
                unsafe kernels.paged.merge(
                    Int64(merge.parts.count), partial.output.pointer + merge.parts.lowerBound * width, Int64(width),
                    partial.logSumExp.pointer + merge.parts.lowerBound * heads, Int64(heads), Int64(heads),
                    Int64(layout.valueDim),
                    output.pointer + merge.row * width, logSumExp.pointer + merge.row * heads)
            }
        }
    }
}
