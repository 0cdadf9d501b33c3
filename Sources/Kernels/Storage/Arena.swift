import Glibc

/// A best-fit allocator for large blocks in one reserved range of addresses; neighbouring gaps are merged.
///
/// Blocks of all sizes share the same memory over a training step, so the resident memory stays close to the peak in use. The
/// system is asked for huge pages.
@safe struct Arena: ~Copyable {
    private struct Gap {
        var offset: Int
        var size: Int
    }

    private let base: UnsafeMutableRawPointer
    private let capacity: Int
    /// Bytes from the start that were allocated at some time.
    private(set) var top = 0
    /// Free ranges below `top`, by offset; no two are adjacent.
    private var gaps: [Gap] = []

    static let alignment = 4096

    /// Reserves `capacity` bytes of addresses; nil where the system refuses.
    init?(capacity: Int) {
        let reserved = unsafe mmap(
            nil, capacity, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | Int32(MAP_NORESERVE), -1, 0)
        guard let reserved = unsafe reserved, unsafe reserved != MAP_FAILED else { return nil }
        unsafe madvise(reserved, capacity, Int32(MADV_HUGEPAGE))
        unsafe base = reserved
        self.capacity = capacity
    }

    /// Free bytes below `top`.
    var freeBytes: Int { gaps.reduce(0) { $0 + $1.size } }

    /// Allocates `size` bytes, a multiple of the alignment; tells whether memory above `top` was used. Nil where the arena is
    /// full.
    mutating func take(_ size: Int) -> (pointer: UnsafeMutableRawPointer, grown: Bool)? {
        var best: Int?
        for index in gaps.indices where gaps[index].size >= size {
            if best.map({ gaps[index].size < gaps[$0].size }) ?? true { best = index }
        }
        if let best {
            let offset = gaps[best].offset
            if gaps[best].size == size {
                gaps.remove(at: best)
            } else {
                gaps[best].offset += size
                gaps[best].size -= size
            }
            return unsafe (base + offset, false)
        }
        // A gap that ends at the top is extended.
        let start = gaps.last.map { $0.offset + $0.size == top ? $0.offset : top } ?? top
        guard start + size <= capacity else { return nil }
        if start < top { gaps.removeLast() }
        top = start + size
        return unsafe (base + start, true)
    }

    /// Frees a block that ``take(_:)`` allocated.
    mutating func give(_ pointer: UnsafeMutableRawPointer, _ size: Int) {
        let offset = unsafe pointer - base
        var low = 0
        var high = gaps.count
        while low < high {
            let middle = (low + high) / 2
            if gaps[middle].offset < offset { low = middle + 1 } else { high = middle }
        }
        let joinsNext = low < gaps.count && gaps[low].offset == offset + size
        let joinsPrevious = low > 0 && gaps[low - 1].offset + gaps[low - 1].size == offset
        switch (joinsPrevious, joinsNext) {
        case (true, true):
            gaps[low - 1].size += size + gaps[low].size
            gaps.remove(at: low)
        case (true, false): gaps[low - 1].size += size
        case (false, true):
            gaps[low].offset = offset
            gaps[low].size += size
        case (false, false): gaps.insert(Gap(offset: offset, size: size), at: low)
        }
    }

    /// Returns the memory of every gap to the system; the addresses stay reserved.
    mutating func trim() {
        for gap in gaps { unsafe madvise(base + gap.offset, gap.size, Int32(MADV_DONTNEED)) }
    }
}
