/// Decides, step by step, which sequences run with how many tokens: continuous batching (Yu et al. 2022, Orca) with prompts
/// cut into chunks beside the decoding (Agrawal et al. 2023, Sarathi).
///
/// A value without clocks, memory or I/O. Order of business in a step: sequences that decode, one token each, oldest first; then
/// prompts in progress; then new ones, from the model served least so far. A decoding sequence that finds no page takes the
/// newest sequence's; new ones wait for pages.
public struct Scheduler: Sendable {
    /// What bounds a step and the queue.
    public struct Limits: Sendable, Hashable {
        /// Tokens of a step, decoded ones and prompts together.
        public var tokensPerStep = 512
        /// Sequences that hold pages at once.
        public var running = 256
        /// Sequences that wait.
        public var waiting = 1024

        /// The defaults.
        public init() {}
    }

    /// What a step does.
    public struct Plan: Sendable, Hashable {
        /// Sequences to run with so many of their next tokens, the oldest first.
        public var runs: [Run] = []
        /// Running sequences to put back into the queue, in this order, before anything runs.
        public var preempted: [Int] = []
        /// Sequences that cannot go on: alone, and still without a page.
        public var exhausted: [Int] = []

        /// One sequence's part in a step.
        public struct Run: Sendable, Hashable {
            /// The sequence.
            public var id: Int
            /// Its next tokens.
            public var count: Int
        }
    }

    private struct Entry: Sendable {
        var model: Int
        var order: Int
        /// Tokens known, and those whose keys and values are in pages.
        var tokens: Int
        var computed: Int
        /// Whether it waits for others of its request, and has nothing to run.
        var isHeld = false

        var left: Int { tokens - computed }
    }

    /// The bounds.
    public let limits: Limits
    private var entries: [Int: Entry] = [:]
    /// Running ids, the oldest first.
    private var running: [Int] = []
    /// Waiting ids of each model, the next first.
    private var waiting: [[Int]]
    /// Tokens each model has had.
    private var served: [Int]
    private var nextOrder = 0

    /// An empty schedule for `models`.
    public init(models: Int, limits: Limits = Limits()) {
        self.limits = limits
        waiting = [[Int]](repeating: [], count: models)
        served = [Int](repeating: 0, count: models)
    }

    /// Sequences that hold pages.
    public var runningCount: Int { running.count }
    /// Sequences in the queue.
    public var waitingCount: Int { waiting.reduce(0) { $0 + $1.count } }
    /// Whether there is nothing to do.
    public var isIdle: Bool { entries.isEmpty }

    /// Queues a sequence of `tokens`; false where the queue is full.
    public mutating func add(_ id: Int, model: Int, tokens: Int) -> Bool {
        guard waitingCount < limits.waiting else { return false }
        precondition(tokens > 0 && entries[id] == nil, "Scheduler: sequence \(id) with \(tokens) tokens")
        // A model that was idle has no claim from that time.
        if waiting[model].isEmpty, !running.contains(where: { entries[$0]?.model == model }) {
            let active = served.indices.filter { other in
                !waiting[other].isEmpty || running.contains { entries[$0]?.model == other }
            }
            served[model] = max(served[model], active.map { served[$0] }.min() ?? served[model])
        }
        entries[id] = Entry(model: model, order: nextOrder, tokens: tokens, computed: 0)
        nextOrder += 1
        waiting[model].append(id)
        return true
    }

    /// Queues a sequence of a request that is running, whether the queue is full or not.
    public mutating func addWaiting(_ id: Int, model: Int, tokens: Int) {
        entries[id] = Entry(model: model, order: nextOrder, tokens: tokens, computed: 0)
        nextOrder += 1
        waiting[model].append(id)
    }

    /// Gives a sequence nothing to run until ``release(_:)``; its pages may be taken meanwhile.
    public mutating func hold(_ id: Int) { entries[id]?.isHeld = true }

    /// Lets a held sequence run again.
    public mutating func release(_ id: Int) { entries[id]?.isHeld = false }

    /// The sequences that wait for ``release(_:)``.
    public var heldIDs: Set<Int> { Set(entries.lazy.filter(\.value.isHeld).map(\.key)) }

    /// Adds a sequence that holds pages already: a fork of a running one.
    public mutating func addRunning(_ id: Int, model: Int, tokens: Int, computed: Int) {
        entries[id] = Entry(model: model, order: nextOrder, tokens: tokens, computed: computed)
        nextOrder += 1
        running.append(id)
    }

    /// Takes a sequence out, finished or not.
    public mutating func remove(_ id: Int) {
        guard let entry = entries.removeValue(forKey: id) else { return }
        running.removeAll { $0 == id }
        waiting[entry.model].removeAll { $0 == id }
    }

    /// Records that `count` of a sequence's tokens are in pages now, and how many it has.
    public mutating func advance(_ id: Int, computed: Int, tokens: Int) {
        entries[id]?.computed = computed
        entries[id]?.tokens = tokens
    }

    /// Whether `id` holds pages.
    public func isRunning(_ id: Int) -> Bool { running.contains(id) }

    /// Plans a step and books it.
    ///
    /// - Parameters:
    ///   - ledger: the pool's pages.
    ///   - needed: the pages a sequence has to get for so many more tokens, or for as many as it will ever have; nil where one
    ///     that waits has reason to wait on, whatever pages there are.
    ///   - held: the pages that come free when a sequence is put back.
    public mutating func plan(
        _ ledger: PageLedger, needed: (_ id: Int, _ count: Int) -> Int?, held: (_ id: Int) -> Int
    ) -> Plan {
        var ledger = ledger
        var plan = Plan()
        var budget = limits.tokensPerStep
        decode(&plan, &ledger, &budget, needed, held)
        continuePrompts(&plan, &ledger, &budget, needed)
        if plan.preempted.isEmpty, plan.exhausted.isEmpty { admit(&plan, &ledger, &budget, needed) }
        if plan.runs.isEmpty, plan.preempted.isEmpty, plan.exhausted.isEmpty, let newest = running.last {
            // Only unfinished prompts, none of which finds a page: the newest makes room for the others.
            if running.count > 1 || entries[newest]?.isHeld == true {
                putBack(newest, &plan)
            } else {
                plan.exhausted.append(newest)
            }
        }
        // Nothing runs and nothing comes in, so it never will: the oldest that waits has no room at all.
        if plan.runs.isEmpty, plan.preempted.isEmpty, plan.exhausted.isEmpty, running.isEmpty,
            let head = entries.min(by: { ($0.value.isHeld ? 1 : 0, $0.value.order) < ($1.value.isHeld ? 1 : 0, $1.value.order) })
        {
            plan.exhausted.append(head.key)
        }
        for run in plan.runs { served[entries[run.id]?.model ?? 0] += run.count }
        return plan
    }

    private mutating func decode(
        _ plan: inout Plan, _ ledger: inout PageLedger, _ budget: inout Int, _ needed: (Int, Int) -> Int?,
        _ held: (Int) -> Int
    ) {
        for id in running where entries[id]?.left == 1 {
            guard budget > 0, running.contains(id), let entry = entries[id] else { continue }
            let pages = needed(id, 1) ?? 0
            var runs = ledger.take(pages, for: entry.model)
            while !runs {
                // A model within its guarantee has no page that would help another.
                let victim =
                    running.last { other in
                        guard let model = entries[other]?.model else { return false }
                        return model == entry.model || ledger.used[model] > ledger.guarantees[model]
                    } ?? id
                if victim == id, running.count == 1 {
                    plan.exhausted.append(id)
                    break
                }
                ledger.give(held(victim), of: entries[victim]?.model ?? 0)
                putBack(victim, &plan)
                if victim == id { break }
                runs = ledger.take(pages, for: entry.model)
            }
            guard runs else { continue }
            plan.runs.append(Plan.Run(id: id, count: 1))
            budget -= 1
        }
    }

    private func continuePrompts(
        _ plan: inout Plan, _ ledger: inout PageLedger, _ budget: inout Int, _ needed: (Int, Int) -> Int?
    ) {
        for id in running {
            guard let entry = entries[id], entry.left > 1, budget > 0 else { continue }
            let count = min(entry.left, budget)
            guard ledger.take(needed(id, count) ?? 0, for: entry.model) else { continue }
            plan.runs.append(Plan.Run(id: id, count: count))
            budget -= count
        }
    }

    private mutating func admit(
        _ plan: inout Plan, _ ledger: inout PageLedger, _ budget: inout Int, _ needed: (Int, Int) -> Int?
    ) {
        var closed: Set<Int> = []
        var passed: Set<Int> = []
        while budget > 0, running.count < limits.running {
            let heads = waiting.indices.map { model in
                closed.contains(model) ? nil : waiting[model].first { entries[$0]?.isHeld == false && !passed.contains($0) }
            }
            let open = heads.indices.filter { heads[$0] != nil }
            let taken = plan.runs.reduce(into: served) { $0[entries[$1.id]?.model ?? 0] += $1.count }
            guard let model = open.min(by: { (taken[$0], $0) < (taken[$1], $1) }), let id = heads[model],
                let entry = entries[id]
            else { return }
            // One that waits for something else than pages keeps none behind it from coming in.
            guard let pages = needed(id, entry.left + 1) else {
                passed.insert(id)
                continue
            }
            // The whole prompt's pages and the first token's have to be there, so that it is not put back at once.
            guard ledger.take(pages, for: model) else {
                closed.insert(model)
                continue
            }
            waiting[model].removeAll { $0 == id }
            let place = running.firstIndex { (entries[$0]?.order ?? 0) > entry.order } ?? running.count
            running.insert(id, at: place)
            let count = min(entry.left, budget)
            plan.runs.append(Plan.Run(id: id, count: count))
            budget -= count
        }
    }

    /// Puts the newest running sequence back into the queue and gives its number; nil where none runs.
    public mutating func putBackNewest() -> Int? {
        guard let newest = running.last else { return nil }
        var plan = Plan()
        putBack(newest, &plan)
        return newest
    }

    private mutating func putBack(_ id: Int, _ plan: inout Plan) {
        guard let entry = entries[id] else { return }
        running.removeAll { $0 == id }
        let place = waiting[entry.model].firstIndex { (entries[$0]?.order ?? 0) > entry.order } ?? waiting[entry.model].count
        waiting[entry.model].insert(id, at: place)
        plan.preempted.append(id)
    }
}
