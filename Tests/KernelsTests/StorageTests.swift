import Testing

@testable import Kernels

@Suite struct StorageTests {
    @Test func `memory is recycled by size`() async {
        await #expect(processExitsWith: .success) {
            func use() -> Int { [1, 100, 5000, 5001, 100_000].map { Storage(repeating: 1, count: $0).count }.reduce(0, +) }
            _ = use()
            let before = StoragePool.shared.statistics
            for _ in 0..<100 { _ = use() }
            let after = StoragePool.shared.statistics
            precondition(after.systemAllocations == before.systemAllocations && after.bytesInUse == before.bytesInUse)
            StoragePool.shared.trim()
            precondition(StoragePool.shared.statistics.bytesCached == 0)
        }
    }

    @Test func `peaks are counted from the last reset`() async {
        await #expect(processExitsWith: .success) {
            do { _ = Storage(count: 1 << 20) }
            StoragePool.shared.resetPeak()
            let base = StoragePool.shared.statistics.peakBytesInUse
            do { _ = Storage(count: 1 << 18) }
            precondition(StoragePool.shared.statistics.peakBytesInUse - base == 1 << 20)
        }
    }

    @Test func `values and ranges are read back`() {
        let storage = Storage(copying: [1, 2, 3])
        #expect(storage.array() == [1, 2, 3])
        #expect(storage.array(1..<2) == [2])
        #expect(storage[2] == 3)
        #expect(Storage(copying: []).array() == [])
    }

    @Test func `blocks that were not needed since the last trim go back to the system, others stay`() {
        let pool = StoragePool()
        let blocks = (1...3).map { _ in pool.take(count: 1024) }
        let other = pool.take(count: 4096)
        for block in blocks + [other] { pool.give(block) }
        // All of these were in use since the beginning.
        pool.trimUnused()
        #expect(pool.statistics.bytesCached == 3 * 4096 + 16_384)
        let again = (1...2).map { _ in pool.take(count: 1024) }
        for block in again { pool.give(block) }
        pool.trimUnused()
        #expect(pool.statistics.bytesCached == 2 * 4096)
        #expect(pool.statistics.systemAllocations == 4)
        pool.give(pool.take(count: 1024))
        #expect(pool.statistics.systemAllocations == 4)
        pool.trimUnused()
        pool.trimUnused()
        #expect(pool.statistics.bytesCached == 0 && pool.statistics.bytesInUse == 0)
    }
}
