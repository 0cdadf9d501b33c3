import CKernels

extension CachedAttentionKernel {
    /// As ``run(qkv:firstRow:keys:values:into:logSumExp:)``, where each query sees the last `window` keys only, its own
    /// included (Beltagy et al. 2020, sliding window).
    public func run(
        qkv: Storage, firstRow: Int, keys: Storage, values: Storage, into output: Storage, logSumExp: Storage, window: Int?
    ) {
        guard let window, window < firstPosition + queries else {
            return run(qkv: qkv, firstRow: firstRow, keys: keys, values: values, into: output, logSumExp: logSumExp)
        }
        let kvWidth = kvHeads * headDim
        let width = heads * headDim + 2 * kvWidth
        precondition(
            window >= 1 && qkv.count >= (firstRow + queries) * width && keys.count >= (firstPosition + queries) * kvWidth
                && values.count >= (firstPosition + queries) * kvWidth
                && output.count >= (firstRow + queries) * heads * headDim && logSumExp.count >= (firstRow + queries) * heads,
            "cached attention: storages don't fit \(self)")
        for query in 0..<queries {
            let row = unsafe qkv.pointer + (firstRow + query) * width
            let position = firstPosition + query
            unsafe (keys.pointer + position * kvWidth).update(from: row + heads * headDim, count: kvWidth)
            unsafe (values.pointer + position * kvWidth).update(from: row + heads * headDim + kvWidth, count: kvWidth)
        }
        let scratchCount = Int(kk_cached_attention_scratch(Int64(window), Int64(headDim)))
        let attend: @Sendable (Int) -> Void = { query in
            let scratch = Storage(count: scratchCount)
            let position = firstPosition + query
            let first = max(0, position - window + 1)
            var job = unsafe kk_cached_attention()
            unsafe job.queries = 1
            unsafe job.heads = Int64(heads)
            unsafe job.kvHeads = Int64(kvHeads)
            unsafe job.headDim = Int64(headDim)
            unsafe job.firstPosition = Int64(position - first)
            unsafe job.scale = 1 / Float(headDim).squareRoot()
            unsafe job.q = UnsafePointer(qkv.pointer + (firstRow + query) * width)
            unsafe job.keys = UnsafePointer(keys.pointer + first * kvWidth)
            unsafe job.values = UnsafePointer(values.pointer + first * kvWidth)
            unsafe job.output = output.pointer + (firstRow + query) * heads * headDim
            unsafe job.logSumExp = logSumExp.pointer + (firstRow + query) * heads
            for head in 0..<heads { unsafe kernels.cached_attention(&job, Int64(head), scratch.pointer) }
        }
        if queries * window * heads * headDim < 1 << 15 {
            for query in 0..<queries { attend(query) }
        } else {
            Parallel.forEach(queries, scratch: [scratchCount], attend)
        }
    }
}
