import CKernels

/// The rows of a paged attention, concatenated, and the pages they attend to.
public struct PagedBatch: Sendable {
    let layout: PagedLayout
    /// The block tables, concatenated, and the start of each.
    var tables: [Int32] = []
    var firstPage: [Int] = []
    var firstRow: [Int] = []
    /// For each row its number, its visible tokens, and its sequence.
    var numbers: [Int64] = []
    var limits: [Int64] = []
    var sequenceOf: [Int] = []
    /// For each sequence its cached tokens, its rows, and the number of rows computed in blocks.
    let held: [Int]
    let counts: [Int]
    let blockCounts: [Int?]
    /// For each sequence the tokens in its pages, where others lie elsewhere, and the position of the first of them.
    let stored: [Int?]
    private let positions: [Int]
    /// The greatest page number.
    private let lastPage: Int
    /// The greatest row number.
    let lastNumber: Int

    /// Rows, one for each new token.
    public var rows: Int { limits.count }

    /// The batch of `sequences`, their pages in `layout`.
    public init(_ sequences: [PagedSequence], layout: PagedLayout) {
        self.layout = layout
        held = sequences.map(\.held)
        counts = sequences.map(\.count)
        blockCounts = sequences.map(\.blockCount)
        stored = sequences.map(\.stored)
        positions = sequences.map(\.position)
        let needed = sequences.map { layout.pages(tokens: $0.stored ?? $0.held + $0.count) }
        var nextRow = 0
        tables.reserveCapacity(needed.reduce(0, +))
        for (index, sequence) in sequences.enumerated() {
            let needed = needed[index]
            precondition(
                sequence.pages.count >= needed, "paged attention: \(sequence.pages.count) pages, \(needed) are needed")
            firstPage.append(tables.count)
            firstRow.append(limits.count)
            tables += sequence.pages[..<needed]
            for token in 0..<sequence.count {
                numbers.append(Int64((sequence.row ?? nextRow) + token))
                limits.append(Int64(sequence.held + token + 1))
                sequenceOf.append(index)
            }
            nextRow = (sequence.row ?? nextRow) + sequence.count
        }
        lastPage = Int(tables.max() ?? 0)
        lastNumber = Int(numbers.max() ?? -1)
    }

    /// Checks that the pages have the layout of `kernel` and lie in `memory`.
    func check(_ kernel: PagedAttentionKernel, _ memory: PageMemory) {
        precondition(
            layout == kernel.layout && layout.pageBytes == memory.pageBytes, "paged attention: a layout of other pages")
        precondition(lastPage < memory.pages, "paged attention: page \(lastPage) outside 0..<\(memory.pages)")
    }

    /// Whether rows and visible tokens equal those of `other`, whatever the pages.
    func hasRows(of other: PagedBatch) -> Bool {
        counts == other.counts && limits == other.limits && blockCounts == other.blockCounts && numbers == other.numbers
            && stored == other.stored
    }

    /// The end of the tokens in pages that a row sees.
    func end(_ row: Int) -> Int { min(Int(limits[row]), stored[sequenceOf[row]] ?? .max) }

    /// The number of the first `sinks` tokens that lie in a sequence's pages.
    func sinks(_ sinks: Int, of sequence: Int) -> Int { min(max(0, sinks - positions[sequence]), stored[sequence] ?? .max) }

    /// Pages `range` of a sequence.
    func pages(_ range: Range<Int>, of sequence: Int) -> ArraySlice<Int32> {
        tables[firstPage[sequence] + range.lowerBound..<firstPage[sequence] + range.upperBound]
    }

    /// Calls `body` with a job for one row of `sequence`: all heads, without range and output.
    func withJob(
        _ kernel: PagedAttentionKernel, _ memory: PageMemory, qkv: Storage, sequence: Int,
        _ body: (inout kk_paged_attention) -> Void
    ) {
        unsafe tables.withUnsafeBufferPointer { tables in
            unsafe numbers.withUnsafeBufferPointer { numbers in
                unsafe limits.withUnsafeBufferPointer { limits in
                    guard let table = tables.baseAddress, let numbers = numbers.baseAddress, let limits = limits.baseAddress
                    else { return }
                    var job = unsafe kk_paged_attention()
                    unsafe job.cache = kernel.layout.job(memory.base, pages: table + firstPage[sequence])
                    unsafe job.heads = Int64(kernel.heads)
                    unsafe job.kvHeadCount = Int64(kernel.layout.kvHeads)
                    unsafe job.to = Int64(stored[sequence] ?? .max)
                    unsafe job.count = 1
                    unsafe job.step = 1
                    unsafe job.qStride = Int64(kernel.rowWidth)
                    unsafe job.scale = kernel.scale
                    unsafe job.q = UnsafePointer(qkv.pointer)
                    unsafe job.rows = numbers
                    unsafe job.limits = limits
                    unsafe body(&job)
                }
            }
        }
    }
}
