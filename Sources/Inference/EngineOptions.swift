import Kernels

/// How an engine is set up.
public struct EngineOptions: Sendable {
    /// Bytes of cache memory for all models together.
    public var cacheBytes = 512 << 20
    /// Bytes of a page; nil for what suits the models (``PageSize``).
    public var pageBytes: Int?
    /// How keys and values are stored.
    public var encoding = KVEncoding.float32
    /// Which slots are kept of layers without a window.
    public var retention: any Retention = FullRetention()
    /// The share of the pages that is divided into guarantees, one for each model.
    public var guaranteedShare = 0.5
    /// What bounds a step and the queue.
    public var limits = Scheduler.Limits()
    /// Whether prompts' beginnings are kept and shared.
    public var prefixSharing = true
    /// Whether results are to be the same, bit for bit, whatever else is in the batch and however a sequence came to be where it
    /// is: prompts always go in blocks, outputs token by token, and only prompts are shared.
    public var batchInvariant = false
    /// The tier that preempted sequences may be swapped to; nil for recomputing them always.
    public var tier: (any KVTier)?
    /// Which way a sequence is preempted; nil for the cheaper one by what was measured.
    public var preemption: Preemption?
    /// Seeds the draws of requests without a seed of their own.
    public var seed: UInt64 = 0
    /// Whether the books are checked after each step, in time that grows with the pages held; debug builds do so unasked.
    package var checksEachStep = _isDebugAssertConfiguration()

    /// What happens to a preempted sequence's pages.
    public enum Preemption: String, Sendable, CaseIterable {
        /// They are freed, and computed again later.
        case recompute
        /// They are stored in the tier and read back.
        case swap
    }

    /// The defaults.
    public init() {}
}

/// Counters of an engine since it began, and what it holds now.
public struct EngineStatistics: Sendable, Hashable {
    /// Sequences that hold pages, and that wait.
    public var running = 0, waiting = 0
    /// Steps that ran something.
    public var steps = 0
    /// Prompt tokens computed or found in the prefix tree, and tokens generated.
    public var promptTokens = 0, generatedTokens = 0
    /// Tokens looked up in the prefix tree, and found there.
    public var prefixQueries = 0, prefixHits = 0
    /// Sequences put back, by recomputing and by swapping.
    public var recomputed = 0, swapped = 0
    /// Blocks of prefixes that left for others' sake.
    public var evicted = 0
    /// Outputs that ended of themselves, and requests that were cancelled.
    public var finished = 0, cancelled = 0
    /// Pages in all, free, and held for prefixes nobody uses now.
    public var pages = 0, freePages = 0, idlePages = 0
}
