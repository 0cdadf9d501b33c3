import Models

/// The configuration of an engine.
public struct EngineOptions: Sendable {
    /// Bytes of cache memory for all models together.
    public var cacheBytes = 512 << 20
    /// Bytes of a page; nil for a size that suits the models (``PageSize``).
    public var pageBytes: Int?
    /// The encoding of cached keys and values.
    public var encoding = CacheEncoding.float32
    /// The retention of layers without a window.
    public var retention: any Retention = FullRetention()
    /// The share of the pages divided into the models' guarantees.
    public var guaranteedShare = 0.5
    /// The limits of a step and of the queue.
    public var limits = Scheduler.Limits()
    /// Whether the prefix cache is on.
    public var prefixSharing = true
    /// Whether results are the same, bit for bit, whatever else is in the batch and however a sequence was scheduled: prompts
    /// always go in blocks, outputs token by token, and the prefix cache holds prompts only.
    public var batchInvariant = false
    /// The tier for swapped pages; nil to recompute every preempted sequence.
    public var tier: (any KVTier)?
    /// How sequences are preempted; nil for the cheaper way by measured costs.
    public var preemption: Preemption?
    /// Seeds the draws of requests without a seed of their own.
    public var seed: UInt64 = 0
    /// Whether invariants are checked after each step, in time linear in the pages held; always on in debug builds.
    package var checksEachStep = _isDebugAssertConfiguration()

    /// The treatment of a preempted sequence's pages.
    public enum Preemption: String, Sendable, CaseIterable {
        /// Freed, and recomputed on resumption.
        case recompute
        /// Swapped to the tier and read back.
        case swap
    }

    /// The defaults.
    public init() {}
}

/// Counters of an engine since it began, and gauges of its present state.
public struct EngineStatistics: Sendable, Hashable {
    /// Gauges: sequences that hold pages, and sequences that wait.
    public var running = 0, waiting = 0
    /// Steps that ran at least one sequence.
    public var steps = 0
    /// Prompt tokens computed or found in the prefix cache, and tokens generated.
    public var promptTokens = 0, generatedTokens = 0
    /// Tokens looked up in the prefix cache, and tokens found there.
    public var prefixQueries = 0, prefixHits = 0
    /// Preemptions by recomputation and by swapping.
    public var recomputed = 0, swapped = 0
    /// Prefix blocks evicted to free their pages.
    public var evicted = 0
    /// Outputs that finished, and requests that were cancelled.
    public var finished = 0, cancelled = 0
    /// Gauges: pages in all, free pages, and pages held only for unused prefixes.
    public var pages = 0, freePages = 0, idlePages = 0
}
