import Synchronization
import Testing
import Threads

@Suite struct ThreadPoolTests {
    @Test(arguments: [1, 2, 3, 8])
    func `every unit runs exactly once`(threads: Int) {
        let pool = ThreadPool(threads: threads)
        for units in [0, 1, 2, 7, 1000] {
            let counts = Mutex([Int](repeating: 0, count: units))
            pool.forEach(units) { unit in counts.withLock { $0[unit] += 1 } }
            #expect(counts.withLock { $0 }.allSatisfy { $0 == 1 })
        }
    }

    @Test func `many tiny regions follow each other`() {
        let pool = ThreadPool(threads: 3)
        let total = Atomic<Int>(0)
        for _ in 0..<3_000 { pool.forEach(3) { total.wrappingAdd($0 + 1, ordering: .relaxed) } }
        #expect(total.load(ordering: .relaxed) == 6 * 3_000)
    }

    @Test func `workers that have parked wake up again`() async throws {
        let pool = ThreadPool(threads: 3)
        let total = Atomic<Int>(0)
        for _ in 0..<5 {
            try await Task.sleep(for: .milliseconds(20))
            pool.forEach(50) { _ in total.wrappingAdd(1, ordering: .relaxed) }
        }
        #expect(total.load(ordering: .relaxed) == 250)
    }

    @Test func `regions nest`() {
        let pool = ThreadPool(threads: 4)
        let total = Atomic<Int>(0)
        pool.forEach(10) { outer in
            pool.forEach(10) { inner in
                pool.forEach(2) { _ in total.wrappingAdd(outer * 10 + inner, ordering: .relaxed) }
            }
        }
        #expect(total.load(ordering: .relaxed) == 2 * 4950)
    }

    @Test func `callers on several tasks share the pool`() async {
        let pool = ThreadPool(threads: 4)
        let sums = await withTaskGroup(of: Int.self) { group in
            for task in 0..<8 {
                group.addTask {
                    let total = Atomic<Int>(0)
                    for _ in 0..<500 { pool.forEach(10) { total.wrappingAdd($0 * task, ordering: .relaxed) } }
                    return total.load(ordering: .relaxed)
                }
            }
            return await group.reduce(into: []) { $0.append($1) }
        }
        #expect(sums.sorted() == (0..<8).map { $0 * 45 * 500 })
    }

    @Test func `ranges cover everything once, in pieces of at least the grain`() {
        for count in [0, 1, 99, 100, 101, 1000] {
            let pieces = Mutex<[Range<Int>]>([])
            Parallel.forRanges(count, grain: 100) { range in pieces.withLock { $0.append(range) } }
            let sorted = pieces.withLock { $0 }.sorted { $0.lowerBound < $1.lowerBound }
            #expect(sorted.flatMap { Array($0) } == Array(0..<count))
            #expect(sorted.count <= max(1, (count + 99) / 100))
        }
    }

    @Test func `shrinking ranges cover everything once, the first ones long and the last ones short`() {
        for count in [0, 1, 2, 7, 100, 5000] {
            let pieces = Mutex<[Range<Int>]>([])
            Parallel.forShrinkingRanges(count) { range in pieces.withLock { $0.append(range) } }
            let sorted = pieces.withLock { $0 }.sorted { $0.lowerBound < $1.lowerBound }
            #expect(sorted.flatMap { Array($0) } == Array(0..<count))
            guard Parallel.threads > 1, count > 0 else { continue }
            let lengths = sorted.map(\.count)
            #expect(lengths == lengths.sorted(by: >) && lengths[0] <= max(1, count / 2) && lengths.last == 1)
        }
    }
}
