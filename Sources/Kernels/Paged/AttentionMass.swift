import CKernels
import Threads

/// The attention that the tokens of a paged cache get.
extension PagedAttentionKernel {
    /// The attention mass of each sequence's tokens in each KV head, summed over the sequence's rows and the query heads of the
    /// group: [kvHeads, tokens] a sequence, new tokens included. Keys are those that
    /// ``run(qkv:memory:batch:plans:into:logSumExp:)`` stored.
    public func mass(qkv: Storage, memory: PageMemory, batch: PagedBatch, logSumExp: Storage) -> [Storage] {
        let results = zip(batch.held, batch.counts).map { Storage(repeating: 0, count: layout.kvHeads * ($0 + $1)) }
        addMass(
            qkv: qkv, memory: memory, batch: batch, logSumExp: logSumExp, rows: batch.counts.map { 0..<$0 }, into: results)
        return results
    }

    /// Adds the attention mass of `rows` of each sequence, numbered from its first new token, to `results`
    /// [kvHeads, tokens] a sequence.
    ///
    /// Row after row is added to a token's sum: a sum does not depend on the chunks in which the rows came.
    public func addMass(
        qkv: Storage, memory: PageMemory, batch: PagedBatch, logSumExp: Storage, rows: [Range<Int>], into results: [Storage]
    ) {
        check(batch, memory, qkv: qkv)
        precondition(logSumExp.count >= batch.rows * heads, "paged attention: logSumExp has not \(batch.rows) rows")
        let lengths = zip(batch.held, batch.counts).map { $0 + $1 }
        precondition(
            rows.count == lengths.count && zip(rows, batch.counts).allSatisfy { $0.isEmpty || $0.upperBound <= $1 }
                && zip(results, zip(lengths, rows)).allSatisfy { $1.1.isEmpty || $0.count == layout.kvHeads * $1.0 },
            "paged attention: rows \(rows) of \(batch.counts), masses of \(results.map(\.count)) elements for \(lengths) tokens")
        Parallel.forEach(lengths.count * layout.kvHeads) { unit in
            let (index, kvHead) = (unit / layout.kvHeads, unit % layout.kvHeads)
            guard !rows[index].isEmpty else { return }
            let scratch = Storage(count: rowScratch)
            for row in rows[index].lowerBound + batch.firstRow[index]..<rows[index].upperBound + batch.firstRow[index] {
                for range in ranges(of: row, batch) {
                    let start = range.lowerBound
                    unsafe batch.withJob(self, memory, qkv: qkv, sequence: index) { job in
                        unsafe job.from = Int64(start)
                        unsafe job.to = Int64(range.upperBound)
                        unsafe job.rows += row
                        unsafe job.limits += row
                        unsafe job.firstKvHead = Int64(kvHead)
                        unsafe job.kvHeadCount = 1
                        unsafe decoding(&job, range, kvHeads: kvHead..<kvHead + 1) { job in
                            unsafe kernels.paged.mass(
                                &job, logSumExp.pointer + row * heads,
                                results[index].pointer + kvHead * lengths[index] + start, scratch.pointer)
                        }
                    }
                }
            }
        }
    }
}
