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

        /// A view by these closures.
        public init(
            left: @escaping (_ id: Int) -> Int, pagesNeeded: @escaping (_ id: Int, _ count: Int) -> Int?,
            pagesFreed: @escaping (_ id: Int) -> Int, tenantPages: @escaping () -> [String: Int]
        ) {
            (self.left, self.pagesNeeded, self.pagesFreed, self.tenantPages) = (left, pagesNeeded, pagesFreed, tenantPages)
        }
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

    /// A plan in progress.
    struct Draft {
        var plan = Plan()
        let view: View
        var ledger: PageLedger
        var budget: Int
        /// The index of each sequence in the plan's runs, and the pages booked for it.
        var runs: [Int: Int] = [:]
        var pages: [Int: Int] = [:]
        /// The tenants' shares, where tenants compete.
        var shares: Shares?
        /// Pages kept free for a tenant without running sequences.
        var reserve: Reserve?

        init(_ ledger: PageLedger, _ view: View, budget: Int) {
            (self.ledger, self.view, self.budget) = (ledger, view, budget)
        }

        /// Tokens scheduled for `id` so far.
        func count(_ id: Int) -> Int { runs[id].map { plan.runs[$0].count } ?? 0 }

        mutating func run(_ id: Int, _ count: Int) {
            budget -= count
            if let index = runs[id] {
                plan.runs[index].count += count
            } else {
                runs[id] = plan.runs.count
                plan.runs.append(Plan.Run(id: id, count: count))
            }
        }

        /// Raises the pages booked for `id` to `pages`; false where too few are available.
        mutating func take(_ pages: Int, for id: Int, of model: Int) -> Bool {
            let booked = self.pages[id] ?? 0
            guard ledger.take(max(0, pages - booked), for: model) else { return false }
            self.pages[id] = max(pages, booked)
            return true
        }
    }

    /// The limits.
    public let limits: Limits
    var entries: [Int: Entry] = [:]
    private var groups: [Int: Group] = [:]
    /// The running sequences, oldest first.
    private(set) var running: [Int] = []
    private(set) var tenants: [String: Tenant] = [:]
    /// Tokens scheduled for each model.
    private(set) var served: [Int]
    private var nextOrder = 0
    private var nextTurn = 0

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

    /// Whether `id` is running, that is, holds pages.
    public func isRunning(_ id: Int) -> Bool { running.contains(id) }

    /// Plans a step over the pages of `ledger` and books it. The plan is empty only where the scheduler is idle.
    public mutating func plan(_ ledger: PageLedger, _ view: View) -> Plan {
        var draft = Draft(ledger, view, budget: max(1, limits.tokensPerStep))
        if tenants.count > 1 {
            draft.shares = Shares(self, ledger, pages: view.tenantPages())
            admitWithinShares(&draft)
            let tokens = tokenShares(draft)
            draft.shares?.tokens = tokens
        }
        decode(&draft)
        divide(&draft)
        if draft.shares != nil { decodeRest(&draft) }
        if draft.plan.isEmpty { makeRoom(&draft) }
        for run in draft.plan.runs {
            guard let entry = entries[run.id] else { continue }
            served[entry.model] += run.count
            tenants[entry.tenant]?.served += run.count
        }
        return draft.plan
    }

    /// The `count` decoding sequences whose last turns are longest ago.
    private mutating func inTurn(_ decoding: [Int], _ count: Int) -> [Int] {
        guard decoding.count > count else { return decoding }
        let turns = decoding.sorted {
            (entries[$0]?.turn ?? 0, entries[$0]?.order ?? 0) < (entries[$1]?.turn ?? 0, entries[$1]?.order ?? 0)
        }
        for id in turns.prefix(count) {
            nextTurn += 1
            entries[id]?.turn = nextTurn
        }
        let chosen = Set(turns.prefix(count))
        return decoding.filter { chosen.contains($0) }
    }

    /// The sequences to decode in this step, of each tenant as many as its share of tokens; tenants above their share of the
    /// pages come last.
    private mutating func decoding(_ draft: Draft) -> [Int] {
        let all = running.filter { draft.view.left($0) == 1 && entries[$0]?.isHeld == false }
        guard let shares = draft.shares else { return inTurn(all, draft.budget) }
        var chosen: Set<Int> = []
        for tenant in tenantsByTokens {
            chosen.formUnion(inTurn(all.filter { entries[$0]?.tenant == tenant }, shares.tokens[tenant] ?? 0))
        }
        func isAbove(_ id: Int) -> Bool { entries[id].map { shares.isAbove($0.tenant) } ?? false }
        return all.filter { chosen.contains($0) && !isAbove($0) } + all.filter { chosen.contains($0) && isAbove($0) }
    }

    /// Schedules one token of each decoding sequence, in turns where the step has fewer tokens.
    private mutating func decode(_ draft: inout Draft) {
        for id in decoding(draft) {
            guard running.contains(id), let entry = entries[id] else { continue }
            let pages = draft.view.pagesNeeded(id, 1) ?? 0
            var runs = draft.take(pages, for: id, of: entry.model)
            while !runs {
                let victim = victim(for: id, entry, draft)
                if victim == id, running.count == 1 {
                    // Pages it shared with sequences preempted in this step count as its own only from the next step on.
                    if draft.plan.preempted.isEmpty { draft.plan.exhausted.append(id) }
                    break
                }
                draft.ledger.give(draft.view.pagesFreed(victim), of: entries[victim]?.model ?? 0)
                putBack(victim, &draft.plan)
                if victim == id { break }
                runs = draft.take(pages, for: id, of: entry.model)
            }
            guard runs else { continue }
            draft.run(id, 1)
            entries[id]?.decoded += 1
        }
    }

    /// The sequence to preempt for `id`, which needs a page: the newest one not yet scheduled in this step. Where tenants
    /// compete, one of a tenant above its share of the pages, else of the same tenant.
    private func victim(for id: Int, _ entry: Entry, _ draft: Draft) -> Int {
        // A model within its guarantee has no page that another model may take.
        let helpful = running.filter { other in
            guard let model = entries[other]?.model else { return false }
            return model == entry.model || draft.ledger.used[model] > draft.ledger.guarantees[model]
        }
        guard let shares = draft.shares else { return helpful.last ?? id }
        let open = helpful.filter { draft.runs[$0] == nil }
        return open.last { other in
            entries[other].map { shares.isAbove($0.tenant) && $0.decoded >= Self.safeTokens } ?? false
        } ?? open.last { entries[$0]?.tenant == entry.tenant } ?? id
    }

    /// Schedules further decoding sequences, beyond their tenants' shares, with tokens that others leave and free pages.
    private mutating func decodeRest(_ draft: inout Draft) {
        guard draft.budget > 0 else { return }
        let rest = running.filter {
            draft.view.left($0) == 1 && entries[$0]?.isHeld == false && draft.runs[$0] == nil
        }
        for id in inTurn(rest, draft.budget) {
            guard let entry = entries[id], draft.take(draft.view.pagesNeeded(id, 1) ?? 0, for: id, of: entry.model) else {
                continue
            }
            draft.run(id, 1)
            entries[id]?.decoded += 1
        }
    }

    /// Divides the step's remaining tokens between the tenants with prompts, and each tenant's part between the models.
    private mutating func divide(_ draft: inout Draft) {
        let order = tenantsByTokens
        if let shares = draft.shares {
            // First each tenant's guaranteed tokens, less those it decodes.
            for tenant in order {
                let decoded = draft.plan.runs.reduce(0) { $0 + (entries[$1.id]?.tenant == tenant ? $1.count : 0) }
                _ = prompts(of: tenant, &draft, (shares.tokens[tenant] ?? 0) - decoded)
            }
        }
        Self.split(draft.budget, order) { tenant, share in prompts(of: tenant, &draft, share) }
    }

    /// Divides `tokens` evenly between `parties`; `use` returns the tokens a party uses of its share, and the others get the
    /// rest.
    private static func split<Party>(_ tokens: Int, _ parties: [Party], _ use: (Party, Int) -> Int) {
        var (open, left) = (parties, tokens)
        while left > 0, !open.isEmpty {
            var rest = open.count
            // A party that leaves tokens needs no more; the others share these in another round.
            open.removeAll { party in
                let share = (left + rest - 1) / rest
                rest -= 1
                guard share > 0 else { return false }
                let used = use(party, share)
                left -= used
                return used < share
            }
        }
    }

    /// Schedules up to `share` tokens of a tenant's prompts, those of the least served model first; returns the tokens used.
    private mutating func prompts(of tenant: String, _ draft: inout Draft, _ share: Int) -> Int {
        let view = draft.view
        let open = served.indices.sorted { (served[$0], $0) < (served[$1], $1) }.filter { model in
            tenants[tenant]?.waiting[model].isEmpty == false
                || running.contains { id in
                    entries[id].map { $0.model == model && $0.tenant == tenant && view.left(id) > 1 } ?? false
                }
        }
        let before = draft.budget
        Self.split(share, open) { model, share in prompts(of: tenant, model, &draft, share) }
        return before - draft.budget
    }

    /// Schedules up to `share` tokens of a tenant's prompts to `model`, running ones first, then admits waiting ones; returns the
    /// tokens used.
    private mutating func prompts(of tenant: String, _ model: Int, _ draft: inout Draft, _ share: Int) -> Int {
        let view = draft.view
        var left = share
        for id in running where left > 0 {
            guard let entry = entries[id], entry.model == model, entry.tenant == tenant, view.left(id) > 1, !entry.isHeld
            else { continue }
            let planned = draft.count(id)
            let count = min(view.left(id) - planned, left)
            guard count > 0, draft.take(view.pagesNeeded(id, planned + count) ?? 0, for: id, of: model) else { continue }
            draft.run(id, count)
            left -= count
        }
        guard draft.plan.preempted.isEmpty, draft.plan.exhausted.isEmpty else { return share - left }
        var passed = 0
        for id in tenants[tenant]?.waiting[model] ?? [] where left > 0 {
            guard let entry = entries[id], !entry.isHeld else { continue }
            // A sequence that waits for something other than pages does not block the admission of later ones.
            guard let pages = view.pagesNeeded(id, view.left(id) + 1) else {
                passed += 1
                if passed > Self.mostPassed { break }
                continue
            }
            // Admission needs the pages of the whole prompt and of its first token; else the sequence would be preempted at once.
            guard hasPlace(entry), draft.leavesReserve(pages, entry, running: running.count, of: limits.running),
                draft.take(pages, for: id, of: model)
            else { break }
            admit(id)
            let count = min(view.left(id), left)
            draft.run(id, count)
            left -= count
        }
        return share - left
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
    private func hasPlace(_ entry: Entry) -> Bool {
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

    /// Resolves a deadlock: preempts or ends a sequence where otherwise nothing would ever run.
    private mutating func makeRoom(_ draft: inout Draft) {
        if let newest = running.last {
            // Only unfinished prompts run and none finds a page: the newest is preempted.
            if running.count > 1 || entries[newest]?.isHeld == true {
                putBack(newest, &draft.plan)
            } else {
                draft.plan.exhausted.append(newest)
            }
        } else if let head = entries.min(by: {
            ($0.value.isHeld ? 1 : 0, $0.value.order) < ($1.value.isHeld ? 1 : 0, $1.value.order)
        }) {
            // Nothing runs and nothing is admitted: the oldest waiting sequence does not fit at all.
            draft.plan.exhausted.append(head.key)
        }
    }

    /// The newest running sequence.
    public var newest: Int? { running.last }

    /// Preempts the newest running sequence and returns it; nil where none runs.
    public mutating func putBackNewest() -> Int? {
        guard let newest = running.last else { return nil }
        var plan = Plan()
        putBack(newest, &plan)
        return newest
    }

    mutating func putBack(_ id: Int, _ plan: inout Plan) {
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
