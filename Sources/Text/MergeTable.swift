import HeapModule

/// A merge table: the merged token of a pair of adjacent tokens, and its rank. The lowest rank merges first, the leftmost of
/// equals.
struct MergeTable: Sendable {
    private var table: PairTable

    init(capacity: Int) {
        table = PairTable(capacity: capacity)
    }

    mutating func add(_ left: Int32, _ right: Int32, rank: Int32, id: Int32) {
        table.set(PairTable.key(left, right), UInt64(UInt32(bitPattern: rank)) << 32 | UInt64(UInt32(bitPattern: id)))
    }

    /// The rank of a pair in the high half and the merged id in the low half; `none` where the pair does not merge.
    @inline(__always)
    func entry(_ left: Int32, _ right: Int32) -> UInt64 {
        table.value(PairTable.key(left, right)) ?? Self.none
    }

    static let none = UInt64.max
}

/// Merges symbols in place, with buffers kept from call to call.
struct Merger: Sendable {
    /// The symbols to merge, set by the caller.
    var symbols: [Int32] = []
    private var entries: [UInt64] = []
    private var next: [Int32] = []
    private var previous: [Int32] = []
    private var heap = Heap<UInt64>()

    private static let rankMask: UInt64 = 0xffff_ffff_0000_0000
    /// The number of symbols above which a heap is faster than a linear search for the lowest rank.
    private static let heapThreshold = 48

    /// Applies `table` until no adjacent pair merges.
    mutating func merge(_ table: MergeTable) {
        guard symbols.count > 1 else { return }
        symbols.count <= Self.heapThreshold ? mergeShort(table) : mergeLong(table)
    }

    private mutating func mergeShort(_ table: MergeTable) {
        var count = symbols.count
        entries.removeAll(keepingCapacity: true)
        for index in 0..<count - 1 { entries.append(table.entry(symbols[index], symbols[index + 1])) }
        while count > 1 {
            var best = UInt64.max
            var at = 0
            for index in 0..<count - 1 where entries[index] >> 32 < best >> 32 {
                best = entries[index]
                at = index
            }
            if best == MergeTable.none { break }
            symbols[at] = Int32(truncatingIfNeeded: best)
            count -= 1
            for index in at + 1..<max(count, at + 1) {
                symbols[index] = symbols[index + 1]
                entries[index - 1] = entries[index]
            }
            if at > 0 { entries[at - 1] = table.entry(symbols[at - 1], symbols[at]) }
            if at + 1 < count { entries[at] = table.entry(symbols[at], symbols[at + 1]) }
        }
        symbols.removeLast(symbols.count - count)
    }

    /// A doubly linked list of the symbols and a heap of (rank, position); entries outdated by a merge are skipped.
    private mutating func mergeLong(_ table: MergeTable) {
        let count = symbols.count
        next = (0..<count).map { Int32($0 + 1) }
        previous = (0..<count).map { Int32($0 - 1) }
        var found: [UInt64] = []
        for index in 0..<count - 1 {
            let entry = table.entry(symbols[index], symbols[index + 1])
            if entry != MergeTable.none { found.append((entry & Self.rankMask) | UInt64(index)) }
        }
        heap = Heap(found)
        while let top = heap.popMin() {
            let at = Int(top & 0xffff_ffff)
            let right = Int(next[at])
            // -1 marks a symbol that was merged into its left neighbour.
            guard symbols[at] >= 0, right < count else { continue }
            let entry = table.entry(symbols[at], symbols[right])
            guard entry != MergeTable.none, entry >> 32 == top >> 32 else { continue }
            symbols[at] = Int32(truncatingIfNeeded: entry)
            symbols[right] = -1
            next[at] = next[right]
            if Int(next[at]) < count {
                previous[Int(next[at])] = Int32(at)
                push(table, at, Int(next[at]))
            }
            if previous[at] >= 0 { push(table, Int(previous[at]), at) }
        }
        symbols.removeAll { $0 < 0 }
    }

    private mutating func push(_ table: MergeTable, _ left: Int, _ right: Int) {
        let entry = table.entry(symbols[left], symbols[right])
        if entry != MergeTable.none { heap.insert((entry & Self.rankMask) | UInt64(left)) }
    }
}
