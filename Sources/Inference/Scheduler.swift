/// Decides, step by step, which sequences run with how many tokens: continuous batching (Yu et al. 2022, Orca) with prompts
/// cut into chunks beside the decoding (Agrawal et al. 2023, Sarathi).
///
/// A value without clocks, memory or I/O. Order of business in a step: sequences that decode, one token each, oldest first, in
/// turns where the step is too short for all; what is left is divided between the models that have prompts, in progress first,
/// then new ones, and what one cannot use goes to the others. A decoding sequence that finds no page takes the newest sequence's;
/// new ones wait for pages. Each model is sure of a part of the running sequences and of the queue:
///
///     3 models, 12 may run: each is sure of 2, for the other 6 they compete
///
/// Tenants that compete have equal shares of each step's tokens, of the running places and of the pages (SchedulerShares); one that
/// is alone has everything.
public struct Scheduler: Sendable {
    /// What bounds a step and the queue.
    public struct Limits: Sendable, Hashable {
        /// Tokens of a step, decoded ones and prompts together.
        public var tokensPerStep = 512
        /// Sequences that hold pages at once.
        public var running = 256
        /// Sequences that wait.
        public var waiting = 1024
        /// Tenants expected, each of which is sure of a part of the queue.
        public var tenants = 1

        /// The defaults.
        public init() {}

        /// Sequences of one tenant that wait at most.
        public var waitingOfTenant: Int { Scheduler.available(waiting, own: 0, others: [], parties: tenants) }
    }

    /// What a step does.
    public struct Plan: Sendable, Hashable {
        /// Sequences to run with so many of their next tokens.
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

        /// Whether nothing happens.
        public var isEmpty: Bool { runs.isEmpty && preempted.isEmpty && exhausted.isEmpty }
    }

    struct Entry: Sendable {
        var model: Int
        var tenant: String
        var order: Int
        /// The first sequence of the request it belongs to.
        var group: Int
        /// Whether it waits for others of its request, and has nothing to run.
        var isHeld = false
        /// Its last turn among those that decode, where a step was too short for all.
        var turn = 0
        /// Tokens decoded since it came in.
        var decoded = 0
    }

    /// The progress and the pages of the sequences, which their owner tells while a step is planned.
    public struct View {
        /// Tokens of a sequence whose keys and values are not held yet: its prompt's rest, or the one token that it decodes next.
        public var left: (_ id: Int) -> Int
        /// Pages that a sequence has to get for so many more tokens, or for as many as it will ever have; nil where a waiting one has
        /// reason to wait on, whatever pages are free.
        public var pagesNeeded: (_ id: Int, _ count: Int) -> Int?
        /// Pages that come free when a sequence is preempted, at least.
        public var pagesFreed: (_ id: Int) -> Int
        /// Pages that each tenant's running sequences hold, each page counted once; asked for where tenants compete.
        public var tenantPages: () -> [String: Int]

        /// The answers to a plan's questions.
        public init(
            left: @escaping (_ id: Int) -> Int, pagesNeeded: @escaping (_ id: Int, _ count: Int) -> Int?,
            pagesFreed: @escaping (_ id: Int) -> Int, tenantPages: @escaping () -> [String: Int]
        ) {
            (self.left, self.pagesNeeded, self.pagesFreed, self.tenantPages) = (left, pagesNeeded, pagesFreed, tenantPages)
        }
    }

    /// A request's sequences.
    struct Group: Sendable {
        var model: Int
        var tenant: String
        /// The first sequence's place in the order of arrival.
        var order: Int
        /// Sequences it may have running at once, as far as is known.
        var width: Int
        var members = 0
        var running = 0

        /// Running places it takes: all it may come to need, once the first one runs.
        var places: Int { running == 0 ? 0 : max(width, running) }
    }

    /// A tenant that has sequences; one that has none is forgotten.
    struct Tenant: Sendable {
        /// Its sequences.
        var members = 0
        /// Those that wait, of each model, the next first.
        var waiting: [[Int]]
        /// Tokens it has had, counted from what the tenant with the fewest had when this one came.
        var served: Int
        /// When it came: of equals in tokens the one that came first goes first, as others may come again and again.
        let order: Int

        var waitingCount: Int { waiting.reduce(0) { $0 + $1.count } }
    }

    /// A step in the making.
    struct Draft {
        var plan = Plan()
        let view: View
        var ledger: PageLedger
        var budget: Int
        /// Where in the plan's runs a sequence is, and the pages booked for it.
        var runs: [Int: Int] = [:]
        var pages: [Int: Int] = [:]
        /// Where tenants compete, what each is sure of and has.
        var shares: Shares?
        /// What is kept free for a tenant that has nothing running.
        var reserve: Reserve?

        init(_ ledger: PageLedger, _ view: View, budget: Int) {
            (self.ledger, self.view, self.budget) = (ledger, view, budget)
        }

        /// Tokens of `id` so far.
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

        /// Books what `pages` are more than are booked for `id`, or says that there are not enough.
        mutating func take(_ pages: Int, for id: Int, of model: Int) -> Bool {
            let booked = self.pages[id] ?? 0
            guard ledger.take(max(0, pages - booked), for: model) else { return false }
            self.pages[id] = max(pages, booked)
            return true
        }
    }

    /// The bounds.
    public let limits: Limits
    var entries: [Int: Entry] = [:]
    private var groups: [Int: Group] = [:]
    /// Running ids, the oldest first.
    private(set) var running: [Int] = []
    private(set) var tenants: [String: Tenant] = [:]
    /// Tokens each model has had.
    private(set) var served: [Int]
    private var nextOrder = 0
    private var nextTurn = 0

    /// Waiting sequences of a model, beyond the first, that a step looks at in search of one that may come in.
    static let mostPassed = 64

    /// An empty schedule for `models`.
    public init(models: Int, limits: Limits = Limits()) {
        self.limits = limits
        served = [Int](repeating: 0, count: models)
    }

    /// Sequences that hold pages.
    public var runningCount: Int { running.count }
    /// Sequences in the queue.
    public var waitingCount: Int { entries.count - running.count }
    /// Whether there is nothing to do.
    public var isIdle: Bool { entries.isEmpty }
    /// The sequences that wait for ``release(_:)``.
    public var heldIDs: Set<Int> { Set(entries.lazy.filter(\.value.isHeld).map(\.key)) }

    /// Of `places`, those each of `parties` is sure of: half are divided evenly, at least one each where there are as many as
    /// parties.
    static func guarantee(of places: Int, among parties: Int) -> Int {
        parties < 2 || places < parties ? 0 : max(1, places / 2 / parties)
    }

    /// Of `places`, those that one of `parties` may still take that holds `own`, where others hold so many and the rest none.
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

    /// Whether one more sequence may wait: both its model and its tenant have a place in the queue.
    private func mayWait(_ model: Int, _ tenant: String) -> Bool {
        let held = served.indices.map { model in tenants.values.reduce(0) { $0 + $1.waiting[model].count } }
        guard available(limits.waiting, to: model, held: held) > 0 else { return false }
        let others = tenants.filter { $0.key != tenant }.map(\.value.waitingCount)
        let own = tenants[tenant]?.waitingCount ?? 0
        return Self.available(limits.waiting, own: own, others: others, parties: limits.tenants) > 0
    }

    /// Queues a sequence that will have `width` outputs or beams at once; false where the queue is full.
    public mutating func add(_ id: Int, model: Int, tenant: String = "", width: Int = 1) -> Bool {
        guard mayWait(model, tenant) else { return false }
        precondition(entries[id] == nil, "Scheduler: sequence \(id) is scheduled already")
        // A model or tenant that was idle has no claim from that time.
        let active = Set(groups.values.map(\.model))
        if !active.contains(model) { served[model] = max(served[model], active.map { served[$0] }.min() ?? served[model]) }
        groups[id] = Group(model: model, tenant: tenant, order: nextOrder, width: width)
        enter(id, group: id)
        tenants[tenant]?.waiting[model].append(id)
        return true
    }

    /// Queues another sequence of `group`'s request, whether the queue is full or not.
    public mutating func addWaiting(_ id: Int, group: Int) {
        guard let it = groups[group] else { return }
        enter(id, group: group)
        // Before later requests, which would have further ones waiting in their turn.
        entries[id]?.order = it.order
        insertWaiting(id)
    }

    private mutating func insertWaiting(_ id: Int) {
        guard let entry = entries[id], let waiting = tenants[entry.tenant]?.waiting[entry.model] else { return }
        let place = waiting.firstIndex { (entries[$0]?.order ?? 0) > entry.order } ?? waiting.count
        tenants[entry.tenant]?.waiting[entry.model].insert(id, at: place)
    }

    /// Adds another sequence of `group`'s request that holds pages already: a fork of a running one.
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

    /// Says that a request has all the outputs it will have, so that each one's end makes room.
    public mutating func close(_ group: Int) { groups[group]?.width = 1 }

    /// Gives a sequence nothing to run until ``release(_:)``; its pages may be taken meanwhile.
    public mutating func hold(_ id: Int) { entries[id]?.isHeld = true }

    /// Lets a held sequence run again.
    public mutating func release(_ id: Int) { entries[id]?.isHeld = false }

    /// Takes a sequence out, finished or not.
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

    /// Whether `id` holds pages.
    public func isRunning(_ id: Int) -> Bool { running.contains(id) }

    /// Plans a step over the pages of `ledger` and books it. Unless nothing is left to do the plan isn't empty.
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

    /// Of sequences that decode the `count` that have waited longest for their turns.
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

    /// The sequences that decode in this step: of each tenant as many as it has tokens, those of tenants above their share of the pages
    /// last.
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

    /// Lets each decoding sequence have its token, those that have waited longest where the step is too short for all.
    private mutating func decode(_ draft: inout Draft) {
        for id in decoding(draft) {
            guard running.contains(id), let entry = entries[id] else { continue }
            let pages = draft.view.pagesNeeded(id, 1) ?? 0
            var runs = draft.take(pages, for: id, of: entry.model)
            while !runs {
                let victim = victim(for: id, entry, draft)
                if victim == id, running.count == 1 {
                    // What it shared with those put back just now counts as its own from the next step on.
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

    /// The sequence that is put back for the sake of `id`, which needs a page: the newest one, where tenants compete of those above
    /// their share of the pages and else of its own tenant, and none that has its token in this step already.
    private func victim(for id: Int, _ entry: Entry, _ draft: Draft) -> Int {
        // A model within its guarantee has no page that would help another.
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

    /// Lets more sequences decode than their tenants' shares have tokens for, where others have left some and there are pages.
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

    /// Divides what is left of the step between the tenants that have prompts, and each one's part between the models.
    private mutating func divide(_ draft: inout Draft) {
        let order = tenantsByTokens
        if let shares = draft.shares {
            // First what each is sure of, beside what it decodes.
            for tenant in order {
                let decoded = draft.plan.runs.reduce(0) { $0 + (entries[$1.id]?.tenant == tenant ? $1.count : 0) }
                _ = prompts(of: tenant, &draft, (shares.tokens[tenant] ?? 0) - decoded)
            }
        }
        Self.split(draft.budget, order) { tenant, share in prompts(of: tenant, &draft, share) }
    }

    /// Divides `tokens` between `parties`, which say how many of their shares they use; what one leaves goes to the others.
    private static func split<Party>(_ tokens: Int, _ parties: [Party], _ use: (Party, Int) -> Int) {
        var (open, left) = (parties, tokens)
        while left > 0, !open.isEmpty {
            var rest = open.count
            // Who doesn't use its share up has no use for more; the others go round again with what it left.
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

    /// Works on a tenant's prompts with up to `share` tokens, the model served least so far first; gives the tokens used.
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

    /// Goes on with a tenant's prompts to `model`, then lets new ones in, up to `share` tokens; gives the tokens used.
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
            // One that waits for something else than pages keeps none behind it from coming in.
            guard let pages = view.pagesNeeded(id, view.left(id) + 1) else {
                passed += 1
                if passed > Self.mostPassed { break }
                continue
            }
            // The whole prompt's pages and the first token's have to be there, so that it is not put back at once.
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

    /// Makes a waiting sequence a running one.
    mutating func admit(_ id: Int) {
        guard let entry = entries[id] else { return }
        tenants[entry.tenant]?.waiting[entry.model].removeAll { $0 == id }
        groups[entry.group]?.running += 1
        running.insert(id, at: running.firstIndex { (entries[$0]?.order ?? 0) > entry.order } ?? running.count)
        entries[id]?.decoded = 0
    }

    /// Whether another sequence of a running request finds a place beside it; a tenant that is alone always does.
    public var hasPlaceToFork: Bool { tenants.count < 2 || running.count < limits.running }

    /// Whether a waiting sequence may run beside those that do.
    private func hasPlace(_ entry: Entry) -> Bool {
        guard let group = groups[entry.group] else { return true }
        var held = [Int](repeating: 0, count: served.count)
        for other in groups.values { held[other.model] += other.places }
        var after = group
        after.running += 1
        let wanted = after.places - group.places
        guard wanted > 0 else { return true }
        let free = available(limits.running, to: entry.model, held: held)
        // Many places may never be free at once: the first of its model runs with those its model is sure of.
        let fewest = held[entry.model] > 0 ? wanted : min(wanted, max(1, Self.guarantee(of: limits.running, among: held.count)))
        return wanted <= free || fewest <= free
    }

    /// What becomes of those that would otherwise wait for ever.
    private mutating func makeRoom(_ draft: inout Draft) {
        if let newest = running.last {
            // Only unfinished prompts, none of which finds a page: the newest makes room for the others.
            if running.count > 1 || entries[newest]?.isHeld == true {
                putBack(newest, &draft.plan)
            } else {
                draft.plan.exhausted.append(newest)
            }
        } else if let head = entries.min(by: {
            ($0.value.isHeld ? 1 : 0, $0.value.order) < ($1.value.isHeld ? 1 : 0, $1.value.order)
        }) {
            // Nothing runs and nothing comes in: the oldest that waits has no room at all.
            draft.plan.exhausted.append(head.key)
        }
    }

    /// The newest running sequence.
    public var newest: Int? { running.last }

    /// Puts the newest running sequence back into the queue and gives its number; nil where none runs.
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

    /// What is wrong with the books, or nil: each sequence runs or waits, once; requests and tenants count their own, and none is
    /// kept that has nothing.
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
