import CKernels
import Threads

/// The attention mass of the tokens of a paged cache.
extension PagedAttentionKernel {
    /// Adds the attention mass of `rows` of each sequence, numbered from its first new token, to its `results`, a sum for each token, new ones
    /// included (nil for a sequence without rows): summed over the query heads of each KV head's group, by the keys in the pages. Where `weigh` is
    /// given, the summands that it makes of each query's attention weights.
    ///
    /// Row after row is added to a token's sum: a sum does not depend on the chunks in which the rows came. Where `takesGreatest` is
    /// true, the greatest summand is kept instead of the sum.
    public func addMass(
        qkv: Storage, memory: PageMemory, batch: PagedBatch, logSumExp: Storage, rows: [Range<Int>], into results: [SlotSums?],
        takesGreatest: Bool = false, weighing weigh: (@Sendable (PagedQuery, inout [Float]) -> Void)? = nil
    ) {
        check(batch, memory, qkv: qkv)
        precondition(logSumExp.count >= batch.rows * heads, "paged attention: logSumExp has not \(batch.rows) rows")
        let lengths = zip(batch.held, batch.counts).map { $0 + $1 }
        precondition(
            rows.count == lengths.count && zip(rows, batch.counts).allSatisfy { $0.isEmpty || $0.upperBound <= $1 }
                && zip(results, zip(lengths, rows)).allSatisfy { $1.1.isEmpty || hasSums($0, of: $1.0) },
            "paged attention: rows \(rows) of \(batch.counts), masses of \(results.map { $0?.slots ?? 0 }) slots for \(lengths) tokens"
        )
        Parallel.forEach(lengths.count * layout.kvHeads) { unit in
            let (index, kvHead) = (unit / layout.kvHeads, unit % layout.kvHeads)
            guard !rows[index].isEmpty, let result = results[index] else { return }
            let (scratch, sums) = unsafe (Storage(count: rowScratch), result.pointer(head: kvHead))
            // Adds a row's weights under some of the group's heads.
            func add(_ row: Int, _ queryHeads: Range<Int>, to sums: UnsafeMutablePointer<Float>) {
                // A job finds the queries of a KV head behind those of the heads before it, as many each.
                let skipped = queryHeads.lowerBound - kvHead * queryHeads.count
                for range in ranges(of: row, batch) {
                    unsafe batch.withJob(self, memory, qkv: qkv, sequence: index) { job in
                        unsafe job.from = Int64(range.lowerBound)
                        unsafe job.to = Int64(range.upperBound)
                        unsafe job.rows += row
                        unsafe job.limits += row
                        unsafe job.firstKvHead = Int64(kvHead)
                        unsafe job.kvHeadCount = 1
                        unsafe job.heads = Int64(layout.kvHeads * queryHeads.count)
                        unsafe job.q += skipped * layout.keyDim
                        unsafe decoding(&job, range, kvHeads: kvHead..<kvHead + 1) { job in
                            unsafe kernels.paged.mass(
                                &job, logSumExp.pointer + row * heads + skipped, sums + range.lowerBound,
                                scratch.pointer)
                        }
                    }
                }
            }
            let members = kvHead * group..<(kvHead + 1) * group
            for row in rows[index] {
                let number = batch.firstRow[index] + row
                guard let weigh else {
                    unsafe add(number, members, to: sums)
                    continue
                }
                for head in members {
                    let found = Storage(repeating: 0, count: Int(batch.limits[number]))
                    unsafe add(number, head..<head + 1, to: found.pointer)
                    var weights = found.array()
                    weigh(PagedQuery(sequence: index, row: row, head: head), &weights)
                    precondition(weights.count == found.count, "paged attention: \(weights.count) weights of \(found.count)")
                    for (token, weight) in weights.enumerated() {
                        let held = unsafe sums[token]
                        unsafe sums[token] = takesGreatest ? max(held, weight) : held + weight
                    }
                }
            }
        }
    }

    /// Whether `sums` has one for each of `tokens` tokens.
    func hasSums(_ sums: SlotSums?, of tokens: Int) -> Bool { sums?.kvHeads == layout.kvHeads && sums?.slots == tokens }
}

/// A query of a paged attention.
public struct PagedQuery: Sendable, Hashable {
    /// The number of its sequence in the batch, its row among the sequence's new tokens, and the query head.
    public var sequence: Int, row: Int, head: Int
}
