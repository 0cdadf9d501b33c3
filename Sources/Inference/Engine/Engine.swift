import Kernels
import Models
import Random
import Text

/// Serves several models from one pool of pages: continuous batching, prefix caching, preemption.
///
/// Requests may be submitted at any time. ``step()`` runs one pass of every model with scheduled tokens, and ``run()`` repeats it
/// until ``stop()``. Outputs arrive as streams; dropping a stream frees its pages before the next step.
public actor Engine {
    /// The models; an index here is a model's number.
    public nonisolated let models: [EngineModel]
    /// The options.
    public nonisolated let options: EngineOptions
    /// Bytes of a page.
    public nonisolated let pageBytes: Int
    let store: PageStore
    var caches: [PagedKVCache] = []
    var trees: [PrefixTree] = []
    var scheduler: Scheduler
    var sequences: [Int: EngineSequence] = [:]
    var requests: [Int: Request] = [:]
    /// Contexts kept as evictions left them.
    var contexts: [KeptContext] = []
    /// Beam searches by request.
    var beams: [Int: BeamSearch] = [:]
    var counters = EngineStatistics()
    var costs: [PreemptionCosts]
    private let capacities: [Int]
    /// Pages that a sequence of one of the models may have.
    private let availablePages: Int
    private var nextID = 0
    /// The logical clock of the prefix trees' uses, one for all trees.
    var clock = 0
    /// The last mark of each page from counting tenants' pages, and the last mark given; empty until tenants compete.
    var pageMarks: [UInt32] = []
    var lastMark: UInt32 = 0
    private var isStopping = false
    /// Steps since a step ran or ended a sequence.
    private(set) var stalled = 0
    private var sleeper: CheckedContinuation<Void, Never>?

    /// Steps between trims of memory for batch sizes that did not recur.
    private static let stepsBetweenTrims = 1024

    struct Request {
        let continuation: AsyncStream<GenerationEvent>.Continuation
        /// Unfinished outputs.
        var open: Int
    }

    /// An engine for `models`; throws ``InferenceError`` where the cache memory cannot be had or doesn't fit them.
    public init(models: [EngineModel], options: EngineOptions = EngineOptions()) throws {
        self.models = models
        self.options = options
        pageBytes =
            options.pageBytes
            ?? PageSize.bytes(for: models.map(\.model.config), options.encoding, under: options.retention)
        let pages = options.cacheBytes / max(1, pageBytes)
        let share = Int(Double(pages) * min(1, max(0, options.guaranteedShare))) / max(1, models.count)
        store = try PageStore(
            bytes: options.cacheBytes, pageBytes: pageBytes,
            guarantees: [Int](repeating: models.count > 1 ? share : 0, count: models.count))
        scheduler = Scheduler(models: models.count, limits: options.limits)
        costs = [PreemptionCosts](repeating: PreemptionCosts(), count: models.count)
        let available = pages - (models.count > 1 ? share * (models.count - 1) : 0)
        var capacities: [Int] = []
        for (owner, model) in models.enumerated() {
            try options.retention.check(model.model)
            var cache = try PagedKVCache(
                config: model.model.config, encoding: options.encoding,
                retention: options.retention.instructed(by: model.tokenizer), store: store, owner: owner)
            cache.isBatchInvariant = options.batchInvariant
            // The prefix tree takes its pages before slots are evicted.
            cache.retainsOnCommit = false
            caches.append(cache)
            trees.append(PrefixTree(cache))
            capacities.append(
                Self.capacity(
                    of: cache, longest: model.model.config.maxSequence, pages: available, step: options.limits.tokensPerStep))
            guard capacities[owner] > 0 else {
                throw InferenceError.modelTooLarge(
                    model: model.name, pages: cache.pages(tokens: 1, inChunksOf: 1), available: available)
            }
        }
        self.capacities = capacities
        availablePages = available
    }

    /// The most tokens a sequence of `model` can have, by the model's positions and by the pool.
    public nonisolated func capacity(of model: Int) -> Int { capacities[model] }

    private static func capacity(
        of cache: PagedKVCache, longest: Int, pages: Int, step: Int, retention: (any Retention)? = nil
    ) -> Int {
        var (low, high) = (0, longest)
        while low < high {
            let middle = (low + high + 1) / 2
            // Pages behind a window are freed only after the step that passes them.
            let needed = cache.pages(tokens: middle, inChunksOf: step, retention: retention)
            if needed <= pages { low = middle } else { high = middle - 1 }
        }
        return low
    }

    /// Queues a request; throws ``InferenceError`` where it cannot be served.
    public func submit(_ request: GenerationRequest) throws(InferenceError) -> Generation {
        guard !isStopping else { throw .stopping }
        guard models.indices.contains(request.model) else { throw .noModel(request.model) }
        let config = models[request.model].model.config
        if let retention = request.retention {
            try retention.check(config, options.encoding)
            try retention.check(models[request.model].model)
            guard caches[request.model].holds(retention) else { throw .headsShareBudgets(policy: retention.name) }
        }
        let capacity =
            request.retention.map {
                Self.capacity(
                    of: caches[request.model], longest: config.maxSequence, pages: availablePages,
                    step: options.limits.tokensPerStep, retention: $0)
            } ?? capacity(of: request.model)
        try request.validate(vocabulary: config.vocabularySize, capacity: capacity)
        try (request.retention ?? options.retention).instructed(by: models[request.model].tokenizer)
            .check(config, prompt: request.contextTokens ?? request.prompt.count)
        if let context = request.contextTokens {
            precondition(
                (1...request.prompt.count).contains(context),
                "Engine: a context of \(context) tokens in a prompt of \(request.prompt.count)")
        }
        let id = nextID
        let sampling = request.sampling
        let sequence = EngineSequence(
            request, id: id, of: models[request.model],
            sampler: TokenSampler(
                sampling, seed: sampling.seed ?? SeededGenerator.key(options.seed, id), stream: 0, prompt: request.prompt,
                stopIDs: sampling.stopIDs(of: models[request.model].stopIDs)),
            maxTokens: min(sampling.maxTokens, capacity - request.prompt.count + 1))
        // A request for no tokens only scores its prompt.
        guard
            scheduler.add(
                id, model: request.model, tenant: request.tenant,
                width: request.beams?.width ?? request.count)
        else {
            throw .queueFull(scheduler.waitingCount)
        }
        nextID += request.beams == nil ? request.count : 1
        sequences[id] = sequence
        if let options = request.beams {
            beams[id] = BeamSearch(options, sequence: id, stopIDs: sequence.stopIDs, maxTokens: sequence.maxTokens)
        }
        let (events, continuation) = AsyncStream.makeStream(of: GenerationEvent.self)
        continuation.onTermination = { [weak self] reason in
            guard case .cancelled = reason, let self else { return }
            Task { await self.cancel(id) }
        }
        requests[id] = Request(continuation: continuation, open: request.count)
        wake()
        return Generation(id: id, events: events)
    }

    /// Tokens of a sequence with stored keys and values, in pages or in the tier.
    func computed(_ sequence: EngineSequence) -> Int {
        switch sequence.residence {
        case .none: 0
        case .cache: caches[sequence.model].length(of: sequence.id)
        case .tier(_, let snapshot): snapshot.table.tokens
        }
    }

    /// A new sequence's number.
    func takeID() -> Int {
        nextID += 1
        return nextID - 1
    }

    /// Cancels a request and frees its pages.
    public func cancel(_ request: Int) {
        guard let entry = requests.removeValue(forKey: request) else { return }
        beams[request] = nil
        for id in sequences.values.filter({ $0.request == request }).map(\.id) { remove(id) }
        counters.cancelled += 1
        entry.continuation.finish()
    }

    /// Runs steps while any sequence is scheduled, waits while the engine is idle, and returns once ``stop()`` was called and all
    /// requests are finished.
    public func run() async {
        while !(isStopping && scheduler.isIdle) {
            if scheduler.isIdle {
                await withCheckedContinuation { sleeper = $0 }
            } else {
                step()
                await Task.yield()
            }
        }
    }

    /// Rejects further requests; submitted ones run to their end.
    public func stop() {
        isStopping = true
        wake()
    }

    private func wake() {
        sleeper?.resume()
        sleeper = nil
    }

    /// The counters and gauges now.
    public var statistics: EngineStatistics {
        var result = counters
        result.running = scheduler.runningCount
        result.waiting = scheduler.waitingCount
        result.pages = store.pool.pages
        result.freePages = store.pool.freeCount
        result.idlePages = trees.reduce(0) { $0 + $1.idlePages } + idleContextPages.reduce(0, +)
        return result
    }

    /// A fault in the page accounting, or nil: every page is free or referenced, and its reference count equals the sequences and
    /// prefixes that hold it.
    public func inconsistency() -> String? {
        if let found = store.pool.inconsistency() ?? trees.lazy.compactMap({ $0.inconsistency() }).first { return found }
        var counts = [Int](repeating: 0, count: store.pool.pages)
        for cache in caches { for id in cache.sequences { for page in cache.table(of: id).allPages { counts[Int(page)] += 1 } } }
        for tree in trees { for page in tree.allPages { counts[Int(page)] += 1 } }
        for page in 0..<store.pool.pages where counts[page] != store.pool.count(of: Int32(page)) {
            return "page \(page) has \(counts[page]) holders, the pool counts \(store.pool.count(of: Int32(page)))"
        }
        return nil
    }

    /// Evicts every prefix that no sequence uses, and every kept context.
    public func dropPrefixes() {
        for model in trees.indices { while evict(model) || dropContext(of: model) {} }
    }

    /// Schedules and runs one step and sends its tokens; false where the engine was idle.
    @discardableResult
    public func step() -> Bool {
        guard !scheduler.isIdle else { return false }
        let plan = schedule()
        for id in plan.preempted { preempt(id) }
        // An exhausted sequence first gives up its prefix blocks and is scheduled again; only one without a prefix ends.
        for id in plan.exhausted where !letGoOfPrefix(id) { finish(id, .length, text: "") }
        var ran = false
        for model in models.indices {
            let runs = prepare(plan.runs.filter { sequences[$0.id]?.model == model }, model: model)
            guard !runs.isEmpty else { continue }
            forward(runs, model: model)
            ran = true
        }
        if !ran, !plan.runs.isEmpty { makeRoom() }
        counters.steps += 1
        if counters.steps % Self.stepsBetweenTrims == 0 { StoragePool.shared.trimUnused() }
        // A step that ran nothing preempted sequences; each is preempted at most once before one of the others runs.
        stalled = ran || !plan.exhausted.isEmpty ? 0 : stalled + 1
        if options.checksEachStep {
            precondition(stalled <= 2 * sequences.count + 2, "Engine: \(stalled) steps without progress")
            if let found = inconsistency() { preconditionFailure("Engine: \(found)") }
        }
        return true
    }
}

extension Engine {
    /// Preempts the newest sequence, as pages that the plan counted on could not be had; ends it where it is the only one.
    private func makeRoom() {
        if scheduler.runningCount > 1, stalled <= sequences.count, let newest = scheduler.preemptNewest() {
            preempt(newest)
        } else if let last = scheduler.newest {
            finish(last, .length, text: "")
        }
    }
}

extension SeededGenerator {
    /// The seed of one request, different from every other request's.
    static func key(_ seed: UInt64, _ request: Int) -> UInt64 {
        var generator = SeededGenerator(seed: seed, stream: UInt64(request))
        return generator.next()
    }
}
