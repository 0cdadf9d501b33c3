import Synchronization
import Testing

@testable import Kernels

/// The attention that cached tokens get, query by query.
@Suite struct AttentionMassTests {
    /// Queries in the order in which they were weighed, and their weights.
    private final class Weighed: Sendable {
        let queries = Mutex<[PagedQuery: [Float]]>([:])
    }

    @Test(arguments: [KVEncoding.float32, .int8, .k8v4], [(1, 8), (8, 1), (3, 2)])
    func `each query's weights come once and add up to the mass, whatever their heads share`(
        encoding: KVEncoding, heads: (kvHeads: Int, group: Int)
    ) throws {
        let layout = try #require(
            PagedLayout(kvHeads: heads.kvHeads, keyDim: 32, valueDim: 32, encoding: encoding, pageBytes: 8192))
        let kernel = PagedAttentionKernel(layout: layout, heads: heads.kvHeads * heads.group)
        // Sequences of more than a span, cut in a page, and of three tokens; of the first five rows the last three are observed.
        let (held, counts, rows) = ([300, 1], [5, 2], [2..<5, 0..<2])
        let pages = zip(held, counts).map { layout.pages(tokens: $0 + $1) }
        let memory = try #require(PageMemory(pages: pages.reduce(0, +), pageBytes: 8192))
        let tables = [Array(0..<Int32(pages[0])), Array(Int32(pages[0])..<Int32(pages[0] + pages[1]))]
        var plans = PagedPlans()
        func attend(_ held: [Int], _ counts: [Int], seed: UInt64) -> (PagedBatch, Storage, Storage) {
            let sequences = tables.indices.map { PagedSequence(pages: tables[$0], held: held[$0], count: counts[$0]) }
            let batch = PagedBatch(sequences, layout: layout)
            let qkv = Storage(copying: random(batch.rows * kernel.rowWidth, seed: seed))
            let logSumExp = Storage(count: batch.rows * kernel.heads)
            kernel.run(
                qkv: qkv, memory: memory, batch: batch, plans: &plans, into: Storage(count: batch.rows * kernel.heads * 32),
                logSumExp: logSumExp)
            return (batch, qkv, logSumExp)
        }
        _ = attend([0, 0], held, seed: 1)
        let (batch, qkv, logSumExp) = attend(held, counts, seed: 2)
        func sums(_ tokens: Int) -> SlotSums {
            SlotSums([[Float]](repeating: [Float](repeating: 0, count: tokens), count: heads.kvHeads))
        }
        func masses(_ weigh: (@Sendable (PagedQuery, inout [Float]) -> Void)?) -> [[Float]] {
            let results = zip(held, counts).map { sums($0 + $1) }
            kernel.addMass(
                qkv: qkv, memory: memory, batch: batch, logSumExp: logSumExp, rows: rows, into: results, weighing: weigh)
            return results.map { Array($0.heads.joined()) }
        }
        let weighed = Weighed()
        let found = masses { query, weights in
            let before = weighed.queries.withLock { $0.updateValue(weights, forKey: query) }
            #expect(before == nil, "\(query) came twice")
        }
        // Codes are multiplied by queries in whole numbers, which are rounded by the heads taken together.
        let tolerance: Float = encoding == .float32 ? 1e-5 : 1e-3
        for (one, other) in zip(found, masses(nil)) {
            let isEqual = zip(one, other).allSatisfy { abs($0 - $1) < tolerance }
            #expect(isEqual)
        }
        let queries = weighed.queries.withLock { $0 }
        #expect(queries.count == 5 * kernel.heads)
        for (query, weights) in queries {
            #expect(rows[query.sequence].contains(query.row) && weights.count == held[query.sequence] + query.row + 1)
            #expect(abs(weights.reduce(0, +) - 1) < tolerance)
        }
        // And the greatest of them instead of their sum.
        let greatest = zip(held, counts).map { sums($0 + $1) }
        kernel.addMass(
            qkv: qkv, memory: memory, batch: batch, logSumExp: logSumExp, rows: rows, into: greatest, takesGreatest: true
        ) { _, _ in }
        for (sequence, found) in greatest.enumerated() {
            let slots = held[sequence] + counts[sequence]
            var expected = [Float](repeating: 0, count: heads.kvHeads * slots)
            for (query, weights) in queries where query.sequence == sequence {
                let first = query.head / heads.group * slots
                for (slot, weight) in weights.enumerated() { expected[first + slot] = max(expected[first + slot], weight) }
            }
            #expect(Array(found.heads.joined()) == expected)
        }
        // What is made of the weights is summed in their place.
        let counted = masses { _, weights in weights = weights.map { _ in 1 } }
        #expect(counted[1] == (0..<heads.kvHeads).flatMap { _ in [2, 2, 1].map { Float($0 * heads.group) } })
    }

    @Test func `sums keep their values as slots are added, and copies theirs as others change`() {
        var sums = SlotSums([[1, 2], [3, 4]])
        let copy = sums
        for count in [2, 3, 70, 200] { sums.extend(to: count) }
        #expect(sums.slots == 200 && sums.heads == [[1, 2], [3, 4]].map { $0 + [Float](repeating: 0, count: 198) })
        var other = sums
        other.extend(to: 200)
        unsafe other.pointer(head: 1)[0] = 9
        #expect(other.heads[1][0] == 9 && sums.heads[1][0] == 3 && copy.heads == [[1, 2], [3, 4]])
    }

    @Test(arguments: [KVEncoding.float32, .bfloat16, .int8, .k8v4], [(1, 8), (4, 2), (3, 1)])
    func `a row's mass is added on the way as it is behind it, to the bit, whole or divided among threads`(
        encoding: KVEncoding, heads: (kvHeads: Int, group: Int)
    ) throws {
        let layout = try #require(
            PagedLayout(kvHeads: heads.kvHeads, keyDim: 32, valueDim: 32, encoding: encoding, pageBytes: 8192))
        var kernel = PagedAttentionKernel(layout: layout, heads: heads.kvHeads * heads.group)
        // A row of three spans, one of a few tokens, two rows, and two sequences with a common beginning.
        let (held, counts) = ([700, 6, 90, 200, 200], [1, 1, 2, 1, 1])
        let pages = zip(held, counts).map { layout.pages(tokens: $0 + $1) }
        let memory = try #require(PageMemory(pages: pages.reduce(0, +), pageBytes: 8192))
        var next: Int32 = 0
        var tables = pages.map { count -> [Int32] in
            defer { next += Int32(count) }
            return Array(next..<next + Int32(count))
        }
        var plans = PagedPlans()
        func attend(_ held: [Int], _ counts: [Int], seed: UInt64, masses: [SlotSums?] = []) -> (
            batch: PagedBatch, qkv: Storage, logSumExp: Storage, added: [Bool]
        ) {
            let sequences = tables.indices.map { PagedSequence(pages: tables[$0], held: held[$0], count: counts[$0]) }
            let batch = PagedBatch(sequences, layout: layout)
            let qkv = Storage(copying: random(batch.rows * kernel.rowWidth, seed: seed))
            let logSumExp = Storage(count: batch.rows * kernel.heads)
            let added = kernel.run(
                qkv: qkv, memory: memory, batch: batch, plans: &plans, into: Storage(count: batch.rows * kernel.heads * 32),
                logSumExp: logSumExp, masses: masses)
            return (batch, qkv, logSumExp, added)
        }
        _ = attend(held.map { _ in 0 }, held, seed: 1)
        let shared = 200 / layout.tokensPerPage
        tables[4].replaceSubrange(..<shared, with: tables[3][..<shared])
        let isShared = shared * layout.tokensPerPage >= PagedAttentionKernel.sharedTokens && 2 * heads.group >= 8
        for (threads, shares) in [(1, false), (2, false), (8, false), (2, true)] {
            (kernel.threads, kernel.sharesPrefixes) = (threads, shares)
            // Sums go on from earlier ones.
            func sums() -> [SlotSums?] {
                zip(held, counts).map { tokens, count in
                    var sums = SlotSums([[Float]](repeating: [Float](repeating: 0.5, count: tokens), count: heads.kvHeads))
                    sums.extend(to: tokens + count)
                    return sums
                }
            }
            let (masses, wanted) = (sums(), sums())
            let (batch, qkv, logSumExp, added) = attend(held, counts, seed: 2, masses: masses)
            let isOwn = !(shares && isShared)
            #expect(added == [true, true, false, isOwn, isOwn], "\(threads) threads")
            kernel.addMass(
                qkv: qkv, memory: memory, batch: batch, logSumExp: logSumExp, rows: added.map { $0 ? 0..<1 : 0..<0 }, into: wanted
            )
            for (found, expected) in zip(masses, wanted) { #expect(found?.heads == expected?.heads, "\(threads) threads") }
        }
    }
}
