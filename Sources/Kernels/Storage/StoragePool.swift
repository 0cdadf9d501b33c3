import Glibc
import Threads

/// The allocator of tensor memory, which recycles blocks so that a steady training step allocates nothing from the system: large
/// blocks come from an ``Arena``, small ones from free lists by size.
public final class StoragePool: Sendable {
    /// The process's pool.
    public static let shared = StoragePool()

    /// Counters for tests, benchmarks and memory reports.
    public struct Statistics: Sendable, Equatable {
        /// Blocks allocated from the system since the process began.
        public var systemAllocations = 0
        /// Bytes in blocks in use now.
        public var bytesInUse = 0
        /// The peak of `bytesInUse` since ``StoragePool/resetPeak()``.
        public var peakBytesInUse = 0
        /// Bytes in cached blocks and in gaps of the arena, including gaps whose memory a trim has returned.
        public var bytesCached = 0
    }

    /// A block of memory, owned by one Storage at a time or by the pool.
    @safe struct Block: @unchecked Sendable {
        // Sendable: a plain address; Storage's rule says which thread may access the memory.
        let pointer: UnsafeMutablePointer<Float>
        let byteCount: Int
        var isInArena = false

        static func allocate(byteCount: Int) -> Block {
            var raw: UnsafeMutableRawPointer?
            guard unsafe posix_memalign(&raw, 64, byteCount) == 0, let raw = unsafe raw else {
                fatalError("kvlab: out of memory asking for \(byteCount) bytes")
            }
            return unsafe Block(pointer: raw.assumingMemoryBound(to: Float.self), byteCount: byteCount)
        }
    }

    /// The free list of one size.
    private struct Bin {
        var blocks: [Block] = []
        /// The fewest free blocks since ``StoragePool/trimUnused()``: this many were not needed.
        var fewest = 0

        mutating func take() -> Block? {
            let block = blocks.popLast()
            fewest = min(fewest, blocks.count)
            return block
        }
    }

    private struct State: ~Copyable {
        var free: [Int: Bin] = [:]
        var statistics = Statistics()
        /// An arena as large as the machine's memory; nil where the system refuses to reserve the addresses.
        var arena = Arena(capacity: sysconf(Int32(_SC_PHYS_PAGES)) * sysconf(Int32(_SC_PAGESIZE)))
    }

    /// The least block size of the arena: activations, and the gradients that replace them in the backward pass. Smaller blocks
    /// may be allocated by several threads at once, in any order, which would make the arena's gaps non-deterministic.
    static let arenaBlock = 1 << 20

    private let state = Lock(State())

    /// The block of empty storages.
    static let empty = Block.allocate(byteCount: 64)

    /// Sizes are rounded up so that nearly equal requests share blocks: to 64 bytes below 4 KiB, then to an eighth of
    /// the next lower power of two, from 1 MiB on to 4 KiB.
    static func roundedByteCount(_ count: Int) -> Int {
        let bytes = max(64, count * 4)
        if bytes >= arenaBlock { return (bytes + Arena.alignment - 1) / Arena.alignment * Arena.alignment }
        guard bytes > 4096 else { return (bytes + 63) / 64 * 64 }
        let step = max(64, (1 << (Int.bitWidth - 1 - bytes.leadingZeroBitCount)) / 8)
        return (bytes + step - 1) / step * step
    }

    /// The counters now.
    public var statistics: Statistics {
        state.withLock { state in
            var result = state.statistics
            result.bytesCached += state.arena?.freeBytes ?? 0
            return result
        }
    }

    /// Resets the peak to the bytes in use now.
    public func resetPeak() {
        state.withLock { $0.statistics.peakBytesInUse = $0.statistics.bytesInUse }
    }

    /// Returns every cached block to the system.
    public func trim() {
        let blocks = state.withLock { state -> [Block] in
            state.arena?.trim()
            defer {
                state.free.removeAll()
                state.statistics.bytesCached = 0
            }
            return state.free.values.flatMap(\.blocks)
        }
        for block in blocks { unsafe free(block.pointer) }
    }

    /// Returns small blocks that were not needed since the last call to the system.
    ///
    /// For work without a steady step, such as serving: batches of ever new sizes would each leave blocks behind, some twelve
    /// megabytes for every block in use at a time.
    public func trimUnused() {
        let blocks = state.withLock { state -> [Block] in
            var unused: [Block] = []
            for (byteCount, bin) in state.free {
                var kept = bin
                unused += bin.blocks.prefix(bin.fewest)
                kept.blocks.removeFirst(bin.fewest)
                kept.fewest = kept.blocks.count
                state.free[byteCount] = kept.blocks.isEmpty ? nil : kept
                state.statistics.bytesCached -= bin.fewest * byteCount
            }
            return unused
        }
        for block in blocks { unsafe free(block.pointer) }
    }

    /// Ensures that `copies` threads can each allocate blocks of `counts` elements at once without allocating from the system.
    ///
    /// The number of scratch blocks in use at a time depends on thread timing; enough are kept for any timing.
    func reserve(_ counts: [Int], copies: Int) {
        state.withLock { state in
            for (index, count) in counts.enumerated() where count > 0 {
                let byteCount = Self.roundedByteCount(count)
                guard byteCount < Self.arenaBlock else { continue }
                let same = counts[...index].count { $0 > 0 && Self.roundedByteCount($0) == byteCount }
                let there = state.free[byteCount]?.blocks.count ?? 0
                for _ in there..<max(same * copies, there) {
                    state.free[byteCount, default: Bin()].blocks.append(Block.allocate(byteCount: byteCount))
                    state.statistics.systemAllocations += 1
                    state.statistics.bytesCached += byteCount
                }
            }
        }
    }

    func take(count: Int) -> Block {
        let byteCount = Self.roundedByteCount(count)
        let recycled = state.withLock { state -> Block? in
            state.statistics.bytesInUse += byteCount
            state.statistics.peakBytesInUse = max(state.statistics.peakBytesInUse, state.statistics.bytesInUse)
            if byteCount >= Self.arenaBlock, let (pointer, grown) = unsafe state.arena?.take(byteCount) {
                if grown { state.statistics.systemAllocations += 1 }
                return unsafe Block(
                    pointer: pointer.assumingMemoryBound(to: Float.self), byteCount: byteCount, isInArena: true)
            }
            guard let block = state.free[byteCount]?.take() else {
                state.statistics.systemAllocations += 1
                return nil
            }
            state.statistics.bytesCached -= byteCount
            return block
        }
        return recycled ?? Block.allocate(byteCount: byteCount)
    }

    func give(_ block: Block) {
        state.withLock { state in
            state.statistics.bytesInUse -= block.byteCount
            if block.isInArena {
                unsafe state.arena?.give(UnsafeMutableRawPointer(block.pointer), block.byteCount)
                return
            }
            state.statistics.bytesCached += block.byteCount
            state.free[block.byteCount, default: Bin()].blocks.append(block)
        }
    }
}

extension Parallel {
    /// Calls `body` for each unit, in parallel; `body` may allocate storages of `scratch` elements.
    static func forEach(_ units: Int, scratch: [Int], _ body: @Sendable (Int) -> Void) {
        StoragePool.shared.reserve(scratch, copies: min(units, threads))
        forEach(units, body)
    }
}
