import CKernels
import Threads

/// Attention of a sequence's new tokens over contiguous cached keys and values.
public struct CachedAttentionKernel: Sendable {
    /// New tokens.
    public var queries: Int
    /// Query heads.
    public var heads: Int
    /// Key and value heads.
    public var kvHeads: Int
    /// Width of a query's and a key's head.
    public var keyDim: Int
    /// Width of a value's head.
    public var valueDim: Int
    /// Factor on the scores.
    public var scale: Float
    /// Tokens cached before the new ones.
    public var firstPosition: Int
    /// Tokens a query sees, its own included (Beltagy et al. 2020, sliding window); nil for all.
    public var window: Int?
    /// Attention sinks: first tokens visible beside the window (Xiao et al. 2023).
    public var sinks = 0

    /// The kernel for one sequence's new tokens, at positions `firstPosition`…; a `scale` of nil is 1/√keyDim.
    ///
    /// Precondition: `kvHeads` divides `heads`.
    public init(
        queries: Int, heads: Int, kvHeads: Int, keyDim: Int, valueDim: Int, scale: Float? = nil, firstPosition: Int
    ) {
        precondition(heads % kvHeads == 0, "attention: \(heads) heads cannot share \(kvHeads) KV heads")
        self.queries = queries
        self.heads = heads
        self.kvHeads = kvHeads
        self.keyDim = keyDim
        self.valueDim = valueDim
        self.scale = scale ?? 1 / Float(keyDim).squareRoot()
        self.firstPosition = firstPosition
    }

    /// Attends from rows `firstRow`… of `rows` [.., width], which begin with the queries, to the cached `keys`
    /// [tokens, kvHeads, keyDim] and `values` [tokens, kvHeads, valueDim], the new tokens' included; writes the same rows of
    /// output [.., heads·valueDim] and log-sum-exp [.., heads].
    ///
    /// Without `values`, a token's values are the first valueDim elements of its key.
    public func run(
        rows: Storage, width: Int, firstRow: Int, keys: Storage, values: Storage?, into output: Storage, logSumExp: Storage
    ) {
        let tokens = firstPosition + queries
        precondition(
            width >= heads * keyDim && rows.count >= (firstRow + queries) * width && keys.count >= tokens * kvHeads * keyDim
                && (values.map { $0.count >= tokens * kvHeads * valueDim } ?? (valueDim <= keyDim))
                && output.count >= (firstRow + queries) * heads * valueDim && logSumExp.count >= (firstRow + queries) * heads,
            "cached attention: storages don't fit \(self)")
        let seen = min(tokens, (window ?? tokens) + sinks)
        let scratchCount = Int(kk_cached_attention_scratch(Int64(seen)))
        let attend: @Sendable (Int) -> Void = { head in
            let scratch = Storage(count: scratchCount)
            var job = unsafe kk_cached_attention()
            unsafe job.queries = Int64(queries)
            unsafe job.heads = Int64(heads)
            unsafe job.kvHeads = Int64(kvHeads)
            unsafe job.keyDim = Int64(keyDim)
            unsafe job.valueDim = Int64(valueDim)
            unsafe job.firstPosition = Int64(firstPosition)
            unsafe job.window = Int64(window ?? 0)
            unsafe job.sinks = Int64(sinks)
            unsafe job.qStride = Int64(width)
            unsafe job.keyStride = Int64(kvHeads * keyDim)
            unsafe job.valueStride = Int64(kvHeads * (values == nil ? keyDim : valueDim))
            unsafe job.valueHeadStride = Int64(values == nil ? keyDim : valueDim)
            unsafe job.scale = scale
            unsafe job.q = UnsafePointer(rows.pointer + firstRow * width)
            unsafe job.keys = UnsafePointer(keys.pointer)
            unsafe job.values = UnsafePointer((values ?? keys).pointer)
            unsafe job.output = output.pointer + firstRow * heads * valueDim
            unsafe job.logSumExp = logSumExp.pointer + firstRow * heads
            unsafe kernels.cached_attention(&job, Int64(head), scratch.pointer)
        }
        if queries * seen * heads * keyDim < 1 << 15 {
            for head in 0..<heads { attend(head) }
        } else {
            Parallel.forEach(heads, scratch: [scratchCount], attend)
        }
    }
}
