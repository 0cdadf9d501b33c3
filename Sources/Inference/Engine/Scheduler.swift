/// Schedules sequences step by step: continuous batching (Yu et al. 2022, Orca) with chunked prefill beside decoding
/// (Agrawal et al. 2023, Sarathi).
///
/// A value without clocks, memory or I/O. A step first schedules decoding sequences, one token each, oldest first, or in turns
/// where the step has fewer tokens. The remaining tokens are divided between the models with prompts, running prompts before
/// waiting ones, and a model's unused tokens go to the others. A decoding sequence without a free page preempts the newest
/// sequence; waiting sequences are admitted only into free pages. Each model is guaranteed a part of the running places and of
/// the queue:
///
///     3 models, 12 running places: each is guaranteed 2, and they compete for the other 6
///
/// Tenants that compete have equal shares of each step's tokens, of the running places and of the pages (SchedulerShares); a
/// single tenant has all of them.
public struct Scheduler: Sendable {
    /// The limits of a step and of the queue.
    public struct Limits: Sendable, Hashable {
        /// Tokens of a step, decode and prefill together.
        public var tokensPerStep = 512
        /// Running places: sequences that hold pages at once.
        public var running = 256
        /// Sequences in the queue.
        public var waiting = 1024
        /// Tenants expected, each with a guaranteed part of the queue.
        public var tenants = 1

        /// The defaults.
        public init() {}

        /// The most waiting sequences of one tenant.
        public var waitingOfTenant: Int { Scheduler.available(waiting, own: 0, others: [], parties: tenants) }
    }

    /// The plan of a step.
    public struct Plan: Sendable, Hashable {
        /// Scheduled sequences, each with a number of its next tokens.
        public var runs: [Run] = []
        /// Running sequences to preempt, in this order, before anything runs.
        public var preempted: [Int] = []
        /// Sequences that cannot continue: no page is free for them although nothing else runs.
        public var exhausted: [Int] = []

        /// The tokens scheduled for one sequence.
        public struct Run: Sendable, Hashable {
            /// The sequence.
            public var id: Int
            /// Number of its next tokens.
            public var count: Int
        }

        /// Whether the plan is empty.
        public var isEmpty: Bool { runs.isEmpty && preempted.isEmpty && exhausted.isEmpty }
    }

    struct Entry: Sendable {
        var model: Int
        var tenant: String
        var order: Int
        /// The first sequence of its request.
        var group: Int
        /// Whether it waits for other sequences of its request and is not scheduled.
        var isHeld = false
        /// Its last turn to decode, where steps have fewer tokens than decoding sequences.
        var turn = 0
        /// Tokens decoded since it was admitted.
        var decoded = 0
    }

    /// The sequences' progress and pages, which their owner supplies while a step is planned.
    public struct View {
        /// Tokens of a sequence still to be computed: the rest of its prompt, or the one token that it decodes next.
        public var left: (_ id: Int) -> Int
        /// New pages that `count` more tokens of a sequence need, at most those of its full length; nil where a waiting sequence
        /// has to wait whatever pages are free.
        public var pagesNeeded: (_ id: Int, _ count: Int) -> Int?
        /// The least number of pages that preempting a sequence frees.
        public var pagesFreed: (_ id: Int) -> Int
        /// Pages held by each tenant's running sequences, each page counted once; called where tenants compete.
        public var tenantPages: () -> [String: Int]
    }

    /// The sequences of one request.
    struct Group: Sendable {
        var model: Int
        var tenant: String
        /// The first sequence's arrival order.
        var order: Int
        /// The most sequences it may have running at once, as far as is known.
        var width: Int
        var members = 0
        var running = 0

        /// Running places booked for it: all it may come to need, from its first admission on.
        var places: Int { running == 0 ? 0 : max(width, running) }
    }

    /// A tenant with sequences; a tenant without any is forgotten.
    struct Tenant: Sendable {
        /// Number of its sequences.
        var members = 0
        /// Its waiting sequences of each model, in the order of admission.
        var waiting: [[Int]]
        /// Tokens scheduled for it, starting from the fewest of any tenant at its arrival.
        var served: Int
        /// Its arrival order: of tenants with equally many tokens the earlier one goes first, as a later one may keep returning.
        let order: Int

        var waitingCount: Int { waiting.reduce(0) { $0 + $1.count } }
    }

    /// The limits.
    public let limits: Limits
    var entries: [Int: Entry] = [:]
    var groups: [Int: Group] = [:]
    /// The running sequences, oldest first.
    private(set) var running: [Int] = []
    var tenants: [String: Tenant] = [:]
    /// Tokens scheduled for each model.
    var served: [Int]
    private var nextOrder = 0
    var nextTurn = 0

    /// The most waiting sequences of a model, after its first, that a step examines for admission.
    static let mostPassed = 64

    /// A scheduler of `models` models without sequences.
    public init(models: Int, limits: Limits = Limits()) {
        self.limits = limits
        served = [Int](repeating: 0, count: models)
    }

    /// Running sequences, which hold pages.
    public var runningCount: Int { running.count }
    /// Waiting sequences.
    public var waitingCount: Int { entries.count - running.count }
    /// Whether no sequence runs or waits.
    public var isIdle: Bool { entries.isEmpty }
    /// Sequences held until ``release(_:)``.
    public var heldIDs: Set<Int> { Set(entries.lazy.filter(\.value.isHeld).map(\.key)) }

    /// The places guaranteed to each of `parties`: an equal part of one half, at least one where there are as many places as
    /// parties.
    static func guarantee(of places: Int, among parties: Int) -> Int {
        parties < 2 || places < parties ? 0 : max(1, places / 2 / parties)
    }

    /// The places that a party with `own` may still take, where other parties have `others` and the remaining ones none.
    static func available(_ places: Int, own: Int, others: [Int], parties: Int) -> Int {
        let sure = guarantee(of: places, among: parties)
        let kept = others.reduce(sure * max(0, parties - 1 - others.count)) { $0 + max(0, sure - $1) }
        return places - own - others.reduce(0, +) - kept
    }

    private func available(_ places: Int, to model: Int, held: [Int]) -> Int {
        var others = held
        let own = others.remove(at: model)
        return Self.available(places, own: own, others: others, parties: held.count)
    }

    /// Whether the queue has a place for one more sequence, both of the model's and of the tenant's.
    private func mayWait(_ model: Int, _ tenant: String) -> Bool {
        let held = served.indices.map { model in tenants.values.reduce(0) { $0 + $1.waiting[model].count } }
        guard available(limits.waiting, to: model, held: held) > 0 else { return false }
        let others = tenants.filter { $0.key != tenant }.map(\.value.waitingCount)
        let own = tenants[tenant]?.waitingCount ?? 0
        return Self.available(limits.waiting, own: own, others: others, parties: limits.tenants) > 0
    }

    /// Queues a sequence of a request with `width` outputs or beams; false where the queue is full.
    public mutating func add(_ id: Int, model: Int, tenant: String = "", width: Int = 1) -> Bool {
        guard mayWait(model, tenant) else { return false }
        precondition(entries[id] == nil, "Scheduler: sequence \(id) is scheduled already")
        // An idle model or tenant earns no claim from its idle time.
        let active = Set(groups.values.map(\.model))
        if !active.contains(model) { served[model] = max(served[model], active.map { served[$0] }.min() ?? served[model]) }
        groups[id] = Group(model: model, tenant: tenant, order: nextOrder, width: width)
        enter(id, group: id)
        tenants[tenant]?.waiting[model].append(id)
        return true
    }

    /// Queues another sequence of `group`'s request, even if the queue is full.
    public mutating func addWaiting(_ id: Int, group: Int) {
        guard let it = groups[group] else { return }
        enter(id, group: group)
        // Ahead of later requests; else several of these would wait for each other's further sequences.
        entries[id]?.order = it.order
        insertWaiting(id)
    }

    private mutating func insertWaiting(_ id: Int) {
        guard let entry = entries[id], let waiting = tenants[entry.tenant]?.waiting[entry.model] else { return }
        let place = waiting.firstIndex { (entries[$0]?.order ?? 0) > entry.order } ?? waiting.count
        tenants[entry.tenant]?.waiting[entry.model].insert(id, at: place)
    }

    /// Adds a running sequence to `group`'s request: a fork that holds pages already.
    public mutating func addRunning(_ id: Int, group: Int) {
        enter(id, group: group)
        running.append(id)
        groups[group]?.running += 1
    }

    private mutating func enter(_ id: Int, group: Int) {
        guard let it = groups[group] else { preconditionFailure("Scheduler: sequence \(id) of request \(group), which is over") }
        entries[id] = Entry(model: it.model, tenant: it.tenant, order: nextOrder, group: group)
        groups[group]?.members += 1
        nextOrder += 1
        let fewest = tenants.values.map(\.served).min() ?? 0
        tenants[
            it.tenant, default: Tenant(waiting: [[Int]](repeating: [], count: served.count), served: fewest, order: nextOrder)
        ].members += 1
    }

    /// Closes a request: it gets no further outputs, so each output that ends frees its place.
    public mutating func close(_ group: Int) { groups[group]?.width = 1 }

    /// Holds a sequence: it is not scheduled until ``release(_:)``, but may be preempted.
    public mutating func hold(_ id: Int) { entries[id]?.isHeld = true }

    /// Releases a held sequence.
    public mutating func release(_ id: Int) { entries[id]?.isHeld = false }

    /// Removes a sequence, finished or not.
    public mutating func remove(_ id: Int) {
        guard let entry = entries.removeValue(forKey: id), var group = groups[entry.group] else { return }
        if let place = running.firstIndex(of: id) {
            running.remove(at: place)
            group.running -= 1
        } else {
            tenants[entry.tenant]?.waiting[entry.model].removeAll { $0 == id }
        }
        group.members -= 1
        groups[entry.group] = group.members > 0 ? group : nil
        tenants[entry.tenant]?.members -= 1
        if tenants[entry.tenant]?.members == 0 { tenants[entry.tenant] = nil }
    }

    /// Admits a waiting sequence: it becomes the newest running one.
    mutating func admit(_ id: Int) {
        guard let entry = entries[id] else { return }
        tenants[entry.tenant]?.waiting[entry.model].removeAll { $0 == id }
        groups[entry.group]?.running += 1
        running.insert(id, at: running.firstIndex { (entries[$0]?.order ?? 0) > entry.order } ?? running.count)
        entries[id]?.decoded = 0
    }

    /// Whether a running place is free for a fork; always true for a single tenant.
    public var hasPlaceToFork: Bool { tenants.count < 2 || running.count < limits.running }

    /// Whether running places are free for a waiting sequence.
    func hasPlace(_ entry: Entry) -> Bool {
        guard let group = groups[entry.group] else { return true }
        var held = [Int](repeating: 0, count: served.count)
        for other in groups.values { held[other.model] += other.places }
        var after = group
        after.running += 1
        let wanted = after.places - group.places
        guard wanted > 0 else { return true }
        let free = available(limits.running, to: entry.model, held: held)
        // Many places may never be free at once: a model without running sequences needs only its guaranteed places.
        let fewest = held[entry.model] > 0 ? wanted : min(wanted, max(1, Self.guarantee(of: limits.running, among: held.count)))
        return wanted <= free || fewest <= free
    }

    /// The newest running sequence.
    public var newest: Int? { running.last }

    /// Preempts the newest running sequence and returns it; nil where none runs.
    public mutating func preemptNewest() -> Int? {
        guard let newest = running.last else { return nil }
        var plan = Plan()
        preempt(newest, &plan)
        return newest
    }

    mutating func preempt(_ id: Int, _ plan: inout Plan) {
        guard let entry = entries[id] else { return }
        running.removeAll { $0 == id }
        groups[entry.group]?.running -= 1
        insertWaiting(id)
        plan.preempted.append(id)
    }

    /// A fault in the scheduler's accounting, or nil: each sequence runs or waits, once; requests and tenants count their own
    /// sequences, and none without any is kept.
    func inconsistency() -> String? {
        let waiting = tenants.values.flatMap { $0.waiting.joined() }
        guard (running + waiting).sorted() == entries.keys.sorted() else { return "not every sequence runs or waits, once" }
        let members = Dictionary(grouping: entries.values, by: \.tenant).mapValues(\.count)
        guard members == tenants.mapValues(\.members) else { return "tenants have \(members) sequences" }
        let groups = Dictionary(grouping: entries.values, by: \.group).mapValues(\.count)
        guard groups == self.groups.mapValues(\.members) else { return "requests have \(groups) sequences" }
        for tenant in tenants.values {
            for ids in tenant.waiting {
                let orders = ids.map { entries[$0]?.order ?? 0 }
                guard orders == orders.sorted() else { return "what waits is not in the order of arrival" }
            }
        }
        return nil
    }
}
