import CKernels
import Threads

/// A sequence of a paged attention batch: its pages of one layer, its cached tokens, and its new ones.
public struct PagedSequence: Sendable {
    /// Pages in the order of the tokens, with room for `held` + `count`. Negative ones are freed: they lie behind the window.
    public var pages: [Int32]
    /// Tokens cached before the new ones.
    public var held: Int
    /// New tokens, one row of the batch each.
    public var count: Int
    /// Number of its first new tokens that are computed in blocks, the others one by one; nil to choose by `count`.
    public var blockCount: Int?
    /// The number of the first new token's row; nil for the one behind the sequence before.
    public var row: Int?
    /// Tokens in `pages`, where later ones lie elsewhere: rows see them as far as their own token and the window allow.
    public var stored: Int?
    /// The position of the first token in `pages`, where earlier ones lie elsewhere: `held` counts from it.
    public var position = 0

    /// `count` new tokens after `held` cached ones in `pages`.
    public init(pages: [Int32], held: Int, count: Int) {
        self.pages = pages
        self.held = held
        self.count = count
    }
}

/// Paged attention: a ragged batch over one layer's pages, read in place.
///
/// Few queries of a sequence are computed token by token, over spans that end at multiples of ``span`` and are merged by their
/// log-sum-exp; more queries are computed in blocks, each with all the heads of a group. Results are batch-invariant and do not
/// depend on the number of threads.
public struct PagedAttentionKernel: Sendable, Hashable {
    /// The layout of a page.
    public let layout: PagedLayout
    /// Query heads; a multiple of the layout's KV heads.
    public let heads: Int
    /// Factor on the scores.
    public let scale: Float
    /// Whether decoding sequences with a common prefix of pages attend to it together: first the shared tokens, with the queries
    /// of all sequences at once, then tokens shared by fewer, then each sequence's own (Ye et al. 2024, ChunkAttention). Sums
    /// then depend on the rest of the batch.
    public var sharesPrefixes = true
    /// Tokens a row sees, its own included (Beltagy et al. 2020, sliding window); nil for all.
    public var window: Int?
    /// Attention sinks: first tokens visible beside the window (Xiao et al. 2023).
    public var sinks = 0
    /// Whether blocks begin at multiples of their size even where a window does not, so that sums don't depend on a sequence's
    /// chunks. Masked tokens in front of the window are then read: their pages must be present.
    public var alignsWindows = false
    /// Threads to divide the work for; nil for the pool's. Results don't depend on it.
    var threads: Int?
    /// Whether rows hold keys and values to store; false where another layer stored them.
    public var storesKeys = true

    /// The least number of a sequence's new tokens that are computed in blocks.
    public static let leastBlockRows = 4

    /// Tokens of a span, which single queries attend to at a time.
    public static let span = Int(KK_PAGED_SPAN)

    /// The least number of shared tokens that sequences attend to together.
    public static let sharedTokens = 64

    /// Tokens in a block.
    public static let blockTokens = Int(KK_PAGED_BLOCK)

    /// Paged attention for `heads` query heads; a `scale` of nil is 1/√keyDim.
    public init(layout: PagedLayout, heads: Int, scale: Float? = nil) {
        precondition(heads % layout.kvHeads == 0, "attention: \(heads) heads cannot share \(layout.kvHeads) KV heads")
        self.layout = layout
        self.heads = heads
        self.scale = scale ?? 1 / Float(layout.keyDim).squareRoot()
    }

    /// Elements in a row of qkv: [heads·keyDim | kvHeads·keyDim | kvHeads·valueDim], without values where these are the keys',
    /// and queries alone where rows hold no keys.
    public var rowWidth: Int {
        heads * layout.keyDim
            + (storesKeys ? layout.kvHeads * (layout.keyDim + (layout.valuesAreKeys ? 0 : layout.valueDim)) : 0)
    }

    /// The spans of the tokens that a row of `batch` sees: cut at multiples of ``span``.
    func ranges(of row: Int, _ batch: PagedBatch) -> [Range<Int>] {
        let (limit, end) = (Int(batch.limits[row]), batch.end(row))
        func cut(_ range: Range<Int>) -> [Range<Int>] {
            guard !range.isEmpty else { return [] }
            return (range.lowerBound / Self.span...(range.upperBound - 1) / Self.span).map {
                max(range.lowerBound, $0 * Self.span)..<min(range.upperBound, ($0 + 1) * Self.span)
            }
        }
        guard let window, window < limit else { return cut(0..<end) }
        let low = min(limit - window, end)
        return cut(0..<min(batch.sinks(sinks, of: batch.sequenceOf[row]), low)) + cut(low..<end)
    }

    /// Stores the keys and values of qkv [rows, rowWidth] behind the cached ones, then attends from each row to its sequence's
    /// tokens up to its own: output [rows, heads·valueDim], logSumExp [rows, heads], written from row `first` on. Reuses one of
    /// `plans` where it fits. Stores nothing where `storing` is false, as the rows' keys and values lie elsewhere.
    ///
    /// Where `masses` has the sums of a sequence, one for each token with the new ones, the attention mass of its only row is added to
    /// them on the way, to the bit as ``addMass(qkv:memory:batch:logSumExp:rows:into:takesGreatest:weighing:)`` adds it. Returns for each
    /// sequence whether it was: that of several rows, of rows in blocks, or where sequences attend to shared tokens together, is not.
    @discardableResult public func run(
        qkv: Storage, memory: PageMemory, batch: PagedBatch, plans: inout PagedPlans, into output: Storage, logSumExp: Storage,
        first: Int = 0, storing: Bool = true, masses: [SlotSums?] = []
    ) -> [Bool] {
        check(batch, memory, qkv: qkv)
        precondition(
            output.count >= (first + batch.rows) * heads * layout.valueDim && logSumExp.count >= (first + batch.rows) * heads,
            "paged attention: \(batch.rows) rows don't fit the output")
        precondition(
            masses.isEmpty
                || masses.count == batch.counts.count
                    && zip(masses, zip(batch.held, batch.counts)).allSatisfy { $0 == nil || hasSums($0, of: $1.0 + $1.1) },
            "paged attention: masses of \(masses.map { $0?.slots ?? 0 }) slots for \(batch.held) and \(batch.counts) tokens")
        if storesKeys, storing { store(qkv, batch, memory) }
        let plan = plans.plan(self, batch)
        var spread = masses.isEmpty ? [] : plan.singleRows(of: batch)
        for index in spread.indices where masses[index] == nil { spread[index] = false }
        attend(
            qkv, batch, plan, memory, into: output, logSumExp: logSumExp, first: first,
            masses: zip(spread, masses).map { $0 ? $1 : nil })
        return spread
    }

    /// Merges attentions of the rows of `batch` to tokens in several places, by their log-sum-exp: outputs
    /// [parts, rows, heads·valueDim] and logSumExps [parts, rows, heads] into the rows that ``PagedSequence/row`` numbers.
    public func merge(
        parts: Int, _ outputs: Storage, _ logSumExps: Storage, of batch: PagedBatch, into output: Storage, logSumExp: Storage
    ) {
        let (rows, width) = (batch.rows, heads * layout.valueDim)
        precondition(
            outputs.count >= parts * rows * width && logSumExps.count >= parts * rows * heads
                && output.count >= (batch.lastNumber + 1) * width && logSumExp.count >= (batch.lastNumber + 1) * heads,
            "paged attention: \(rows) rows don't fit the output")
        Parallel.forRanges(rows, grain: 8) { range in
            for row in range {
                let number = Int(batch.numbers[row])
                unsafe kernels.paged.merge(
                    Int64(parts), outputs.pointer + row * width, Int64(rows * width), logSumExps.pointer + row * heads,
                    Int64(rows * heads), Int64(heads), Int64(layout.valueDim), output.pointer + number * width,
                    logSumExp.pointer + number * heads)
            }
        }
    }

    var group: Int { heads / layout.kvHeads }

    var rowScratch: Int {
        Int(kk_paged_row_scratch(Int64(layout.kvHeads), Int64(group), Int64(layout.keyDim), Int64(layout.valueDim)))
    }

    private func blockScratch(_ rows: Int) -> Int {
        Int(kk_paged_block_scratch(Int64(rows), Int64(group), Int64(layout.keyDim), Int64(layout.valueDim)))
    }

    func check(_ batch: PagedBatch, _ memory: PageMemory, qkv: Storage) {
        batch.check(self, memory)
        precondition(
            qkv.count >= (batch.lastNumber + 1) * rowWidth,
            "paged attention: qkv has not \(batch.lastNumber + 1) rows of \(rowWidth)")
    }

    private func store(_ qkv: Storage, _ batch: PagedBatch, _ memory: PageMemory) {
        guard layout.encoding.isReadInPlace else { return encode(qkv, batch, memory) }
        let keys = heads * layout.keyDim
        let values = keys + layout.kvHeads * layout.keyDim
        Parallel.forRanges(batch.rows, grain: max(1, 1 << 14 / max(1, rowWidth - keys))) { range in
            unsafe batch.tables.withUnsafeBufferPointer { tables in
                for row in range {
                    let table = unsafe tables.baseAddress! + batch.firstPage[batch.sequenceOf[row]]
                    var cache = unsafe layout.job(memory.base, pages: table)
                    let from = unsafe qkv.pointer + Int(batch.numbers[row]) * rowWidth
                    unsafe kernels.paged.store(&cache, batch.limits[row] - 1, from + keys, from + values)
                }
            }
        }
    }

    private func attend(
        _ qkv: Storage, _ batch: PagedBatch, _ plan: PagedPlan, _ memory: PageMemory, into output: Storage, logSumExp: Storage,
        first: Int, masses: [SlotSums?]
    ) {
        let width = heads * layout.valueDim
        let partial = (output: Storage(count: plan.parts * width), logSumExp: Storage(count: plan.parts * heads))
        @Sendable func target(_ row: Int) -> SlotSums? { masses.isEmpty ? nil : masses[batch.sequenceOf[row]] }
        // Weights [heads, tokens] of the rows with mass whose spans are units of their own.
        let divided = Dictionary(
            uniqueKeysWithValues: plan.merges.compactMap { merge in
                target(merge.row).map { _ in (merge.row, Storage(count: heads * Int(batch.limits[merge.row]))) }
            })
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
                    let scratch = Storage(count: blockScratch(rows.count))
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
                    let weights = divided[unit.row]
                    unsafe job.weightsStride = batch.limits[unit.row]
                    unsafe job.firstKvHead = Int64(kvHeads.lowerBound)
                    unsafe job.kvHeadCount = Int64(kvHeads.count)
                    unsafe Scratch.with(rowScratch) { scratch in
                        var part = part
                        for start in stride(from: tokens.lowerBound, to: tokens.upperBound, by: Self.span) {
                            unsafe job.from = Int64(start)
                            unsafe job.to = Int64(min(start + Self.span, tokens.upperBound))
                            if let weights { unsafe job.weights = weights.pointer + start }
                            unsafe job.output = partial.output.pointer + part * width
                            unsafe job.logSumExp = partial.logSumExp.pointer + part * heads
                            unsafe decoding(&job, Int(job.from)..<Int(job.to), kvHeads: kvHeads) { job in
                                unsafe kernels.paged.row(&job, scratch)
                            }
                            part += 1
                        }
                    }
                case .block(let rows, let kvHead):
                    let scratch = Storage(count: blockScratch(rows))
                    unsafe job.count = Int64(rows)
                    unsafe job.window = Int64(window ?? 0)
                    unsafe job.sinks = Int64(batch.sinks(sinks, of: unit.sequence))
                    unsafe job.aligned = alignsWindows ? 1 : 0
                    unsafe job.firstKvHead = Int64(kvHead)
                    unsafe job.kvHeadCount = 1
                    unsafe job.output = output.pointer + (first + unit.row) * width
                    unsafe job.logSumExp = logSumExp.pointer + (first + unit.row) * heads
                    let last = batch.end(unit.row + rows - 1)
                    unsafe decoding(&job, 0..<last, kvHeads: kvHead..<kvHead + 1) { job in
                        unsafe kernels.paged.block(&job, scratch.pointer)
                    }
                case .row:
                    let (ranges, mass) = (ranges(of: unit.row, batch), target(unit.row))
                    let tokens = mass == nil ? 0 : Int(batch.limits[unit.row])
                    unsafe Scratch.with(rowScratch + ranges.count * (width + heads) + heads * tokens) { scratch in
                        let outputs = unsafe scratch + rowScratch
                        let sums = unsafe outputs + ranges.count * width
                        let weights = unsafe sums + ranges.count * heads
                        unsafe job.weightsStride = Int64(tokens)
                        for (part, range) in ranges.enumerated() {
                            if tokens > 0 { unsafe job.weights = weights + range.lowerBound }
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
                            output.pointer + (first + unit.row) * width, logSumExp.pointer + (first + unit.row) * heads)
                        guard let mass else { return }
                        unsafe spread(weights, tokens, ranges, sums, logSumExp.pointer + (first + unit.row) * heads, to: mass)
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
                    output.pointer + (first + merge.row) * width, logSumExp.pointer + (first + merge.row) * heads)
                guard let weights = divided[merge.row], let mass = target(merge.row) else { continue }
                unsafe spread(
                    weights.pointer, Int(batch.limits[merge.row]), ranges(of: merge.row, batch),
                    partial.logSumExp.pointer + merge.parts.lowerBound * heads,
                    logSumExp.pointer + (first + merge.row) * heads, to: mass)
            }
        }
    }

    /// Adds a row's `weights` [heads, tokens], which sum to 1 over each of `ranges` with the log-sum-exp `parts` [ranges, heads], to the `mass`.
    private func spread(
        _ weights: UnsafePointer<Float>, _ tokens: Int, _ ranges: [Range<Int>], _ parts: UnsafePointer<Float>,
        _ logSumExp: UnsafePointer<Float>, to mass: SlotSums
    ) {
        for kvHead in 0..<layout.kvHeads {
            let first = kvHead * group
            for (part, range) in ranges.enumerated() {
                unsafe kernels.paged.spread(
                    Int64(group), Int64(range.count), weights + first * tokens + range.lowerBound, Int64(tokens),
                    parts + part * heads + first, logSumExp + first, mass.pointer(head: kvHead) + range.lowerBound)
            }
        }
    }
}
