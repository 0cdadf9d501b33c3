import CKernels

/// Attention of a sequence's new tokens over contiguous cached keys and values.
public struct CachedAttentionKernel: Sendable {
    /// New tokens.
    public var queries: Int
    /// Query heads.
    public var heads: Int
    /// Key and value heads.
    public var kvHeads: Int
    /// Width of a head.
    public var headDim: Int
    /// Tokens cached before the new ones.
    public var firstPosition: Int

    /// The kernel for one sequence's new tokens, at positions `firstPosition`…; scores are scaled by 1/√headDim.
    ///
    /// Precondition: `kvHeads` divides `heads`.
    public init(queries: Int, heads: Int, kvHeads: Int, headDim: Int, firstPosition: Int) {
        precondition(heads % kvHeads == 0, "attention: \(heads) heads cannot share \(kvHeads) KV heads")
        self.queries = queries
        self.heads = heads
        self.kvHeads = kvHeads
        self.headDim = headDim
        self.firstPosition = firstPosition
    }

    /// Copies the keys and values out of rows `firstRow`… of qkv into the cache [tokens, kvHeads, d], and writes the same
    /// rows of output [.., heads·d] and log-sum-exp [.., heads].
    public func run(qkv: Storage, firstRow: Int, keys: Storage, values: Storage, into output: Storage, logSumExp: Storage) {
        let kvWidth = kvHeads * headDim
        let width = heads * headDim + 2 * kvWidth
        let tokens = firstPosition + queries
        precondition(
            qkv.count >= (firstRow + queries) * width && keys.count >= tokens * kvWidth && values.count >= tokens * kvWidth
                && output.count >= (firstRow + queries) * heads * headDim && logSumExp.count >= (firstRow + queries) * heads,
            "cached attention: storages don't fit \(self)")
        let q = Storage(count: queries * heads * headDim)
        for i in 0..<queries {
            let row = unsafe qkv.pointer + (firstRow + i) * width
            unsafe (q.pointer + i * heads * headDim).update(from: row, count: heads * headDim)
            unsafe (keys.pointer + (firstPosition + i) * kvWidth).update(from: row + heads * headDim, count: kvWidth)
            unsafe (values.pointer + (firstPosition + i) * kvWidth).update(from: row + heads * headDim + kvWidth, count: kvWidth)
        }
        let scratchCount = Int(kk_cached_attention_scratch(Int64(tokens), Int64(headDim)))
        let attend: @Sendable (Int) -> Void = { head in
            let scratch = Storage(count: scratchCount)
            var job = unsafe kk_cached_attention()
            unsafe job.queries = Int64(queries)
            unsafe job.heads = Int64(heads)
            unsafe job.kvHeads = Int64(kvHeads)
            unsafe job.headDim = Int64(headDim)
            unsafe job.firstPosition = Int64(firstPosition)
            unsafe job.scale = 1 / Float(headDim).squareRoot()
            unsafe job.q = UnsafePointer(q.pointer)
            unsafe job.keys = UnsafePointer(keys.pointer)
            unsafe job.values = UnsafePointer(values.pointer)
            unsafe job.output = output.pointer + firstRow * heads * headDim
            unsafe job.logSumExp = logSumExp.pointer + firstRow * heads
            unsafe kernels.cached_attention(&job, Int64(head), scratch.pointer)
        }
        if queries * tokens * heads * headDim < 1 << 15 {
            for head in 0..<heads { attend(head) }
        } else {
            Parallel.forEach(heads, scratch: [scratchCount], attend)
        }
    }
}
