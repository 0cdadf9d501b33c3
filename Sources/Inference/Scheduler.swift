/// Decides, step by step, which sequences run with how many tokens: continuous batching (Yu et al. 2022, Orca) with prompts
/// cut into chunks beside the decoding (Agrawal et al. 2023, Sarathi).
///
/// A value without clocks, memory or I/O. Order of business in a step: sequences that decode, one token each, oldest first, in
/// turns where the step is too short for all; what is left is divided between the models that have prompts, in progress first,
/// then new ones, and what one cannot use goes to the others. A decoding sequence that finds no page takes the newest sequence's;
/// new ones wait for pages. Each model is sure of a part of the running sequences and of the queue:
///
///     3 models, 12 may run: each is sure of 2, for the other 6 they compete
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

    private struct Entry: Sendable {
        var model: Int
        var order: Int
        /// The first sequence of the request it belongs to.
        var group: Int
        /// Tokens known, and those whose keys and values are in pages.
        var tokens: Int
        var computed: Int
        /// Whether it waits for others of its request, and has nothing to run.
        var isHeld = false
        /// Its last turn among those that decode, where a step was too short for all.
        var turn = 0

        var left: Int { tokens - computed }
    }

    /// A request's sequences.
    private struct Group: Sendable {
        var model: Int
        /// Sequences it may have running at once, as far as is known.
        var width: Int
        var members = 0
        var running = 0

        /// Running places it takes: all it may come to need, once the first one runs.
        var places: Int { running == 0 ? 0 : max(width, running) }
    }

    /// A step in the making.
    private struct Draft {
        var plan = Plan()
        var ledger: PageLedger
        var budget: Int
        /// Where in the plan's runs a sequence is, and the pages booked for it.
        var runs: [Int: Int] = [:]
        var pages: [Int: Int] = [:]

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
    private var entries: [Int: Entry] = [:]
    private var groups: [Int: Group] = [:]
    /// Running ids, the oldest first.
    private var running: [Int] = []
    /// Waiting ids of each model, the next first.
    private var waiting: [[Int]]
    /// Tokens each model has had.
    private var served: [Int]
    private var nextOrder = 0
    private var nextTurn = 0

    /// Waiting sequences of a model, beyond the first, that a step looks at in search of one that may come in.
    private static let mostPassed = 64

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
    /// The sequences that wait for ``release(_:)``.
    public var heldIDs: Set<Int> { Set(entries.lazy.filter(\.value.isHeld).map(\.key)) }

    /// Of `places`, those each model is sure of: half are divided evenly, at least one each where there are as many as models.
    private func guarantee(of places: Int) -> Int {
        let models = waiting.count
        return models < 2 || places < models ? 0 : max(1, places / 2 / models)
    }

    /// Of `places`, those that `model` may still take where each holds so many.
    private func available(_ places: Int, to model: Int, held: [Int]) -> Int {
        let sure = guarantee(of: places)
        let kept = held.indices.reduce(0) { $1 == model ? $0 : $0 + max(0, sure - held[$1]) }
        return places - held.reduce(0, +) - kept
    }

    /// Queues a sequence of `tokens` that will have `width` outputs or beams at once; false where the queue is full.
    public mutating func add(_ id: Int, model: Int, tokens: Int, width: Int = 1) -> Bool {
        guard available(limits.waiting, to: model, held: waiting.map(\.count)) > 0 else { return false }
        precondition(tokens > 0 && entries[id] == nil, "Scheduler: sequence \(id) with \(tokens) tokens")
        // A model that was idle has no claim from that time.
        let active = Set(groups.values.map(\.model))
        if !active.contains(model) { served[model] = max(served[model], active.map { served[$0] }.min() ?? served[model]) }
        groups[id] = Group(model: model, width: width)
        enter(id, model: model, group: id, tokens: tokens, computed: 0)
        waiting[model].append(id)
        return true
    }

    /// Queues another sequence of `group`'s request, whether the queue is full or not.
    public mutating func addWaiting(_ id: Int, group: Int, model: Int, tokens: Int) {
        enter(id, model: model, group: group, tokens: tokens, computed: 0)
        waiting[model].append(id)
    }

    /// Adds another sequence of `group`'s request that holds pages already: a fork of a running one.
    public mutating func addRunning(_ id: Int, group: Int, model: Int, tokens: Int, computed: Int) {
        enter(id, model: model, group: group, tokens: tokens, computed: computed)
        running.append(id)
        groups[group]?.running += 1
    }

    private mutating func enter(_ id: Int, model: Int, group: Int, tokens: Int, computed: Int) {
        entries[id] = Entry(model: model, order: nextOrder, group: group, tokens: tokens, computed: computed)
        groups[group, default: Group(model: model, width: 1)].members += 1
        nextOrder += 1
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
            waiting[entry.model].removeAll { $0 == id }
        }
        group.members -= 1
        groups[entry.group] = group.members > 0 ? group : nil
    }

    /// Records that `count` of a sequence's tokens are in pages now, and how many it has.
    public mutating func advance(_ id: Int, computed: Int, tokens: Int) {
        entries[id]?.computed = computed
        entries[id]?.tokens = tokens
    }

    /// Whether `id` holds pages.
    public func isRunning(_ id: Int) -> Bool { running.contains(id) }

    /// Plans a step and books it. Unless nothing is left to do the plan isn't empty.
    ///
    /// - Parameters:
    ///   - ledger: the pool's pages.
    ///   - needed: the pages a sequence has to get for so many more tokens, or for as many as it will ever have; nil where one
    ///     that waits has reason to wait on, whatever pages there are.
    ///   - held: the pages that come free when a sequence is put back, at least.
    public mutating func plan(
        _ ledger: PageLedger, needed: (_ id: Int, _ count: Int) -> Int?, held: (_ id: Int) -> Int
    ) -> Plan {
        var draft = Draft(ledger: ledger, budget: max(1, limits.tokensPerStep))
        decode(&draft, needed, held)
        divide(&draft, needed)
        if draft.plan.isEmpty { makeRoom(&draft) }
        for run in draft.plan.runs { served[entries[run.id]?.model ?? 0] += run.count }
        return draft.plan
    }

    /// Lets each decoding sequence have its token, those that have waited longest where the step is too short for all.
    private mutating func decode(_ draft: inout Draft, _ needed: (Int, Int) -> Int?, _ held: (Int) -> Int) {
        var decoding = running.filter { entries[$0]?.left == 1 && entries[$0]?.isHeld == false }
        if decoding.count > draft.budget {
            let turns = decoding.sorted {
                (entries[$0]?.turn ?? 0, entries[$0]?.order ?? 0) < (entries[$1]?.turn ?? 0, entries[$1]?.order ?? 0)
            }
            let chosen = Set(turns.prefix(draft.budget))
            for id in turns.prefix(draft.budget) {
                nextTurn += 1
                entries[id]?.turn = nextTurn
            }
            decoding.removeAll { !chosen.contains($0) }
        }
        for id in decoding {
            guard running.contains(id), let entry = entries[id] else { continue }
            let pages = needed(id, 1) ?? 0
            var runs = draft.ledger.take(pages, for: entry.model)
            while !runs {
                // A model within its guarantee has no page that would help another.
                let victim =
                    running.last { other in
                        guard let model = entries[other]?.model else { return false }
                        return model == entry.model || draft.ledger.used[model] > draft.ledger.guarantees[model]
                    } ?? id
                if victim == id, running.count == 1 {
                    // What it shared with those put back just now counts as its own from the next step on.
                    if draft.plan.preempted.isEmpty { draft.plan.exhausted.append(id) }
                    break
                }
                draft.ledger.give(held(victim), of: entries[victim]?.model ?? 0)
                putBack(victim, &draft.plan)
                if victim == id { break }
                runs = draft.ledger.take(pages, for: entry.model)
            }
            if runs { draft.run(id, 1) }
        }
    }

    /// Divides what is left of the step between the models that have prompts, the one served least so far first.
    private mutating func divide(_ draft: inout Draft, _ needed: (Int, Int) -> Int?) {
        var open = served.indices.sorted { (served[$0], $0) < (served[$1], $1) }
        open.removeAll { model in
            waiting[model].isEmpty && !running.contains { entries[$0]?.model == model && (entries[$0]?.left ?? 0) > 1 }
        }
        // Who doesn't use its share up has no use for more; the others go round again with what it left.
        while draft.budget > 0, !open.isEmpty {
            var left = open.count
            open.removeAll { model in
                let share = (draft.budget + left - 1) / left
                left -= 1
                return share > 0 && prompts(of: model, &draft, share, needed) < share
            }
        }
    }

    /// Goes on with `model`'s prompts, then lets new ones in, up to `share` tokens; gives the tokens used.
    private mutating func prompts(
        of model: Int, _ draft: inout Draft, _ share: Int, _ needed: (Int, Int) -> Int?
    ) -> Int {
        var left = share
        for id in running where left > 0 {
            guard let entry = entries[id], entry.model == model, entry.left > 1, !entry.isHeld else { continue }
            let planned = draft.count(id)
            let count = min(entry.left - planned, left)
            guard count > 0, draft.take(needed(id, planned + count) ?? 0, for: id, of: model) else { continue }
            draft.run(id, count)
            left -= count
        }
        guard draft.plan.preempted.isEmpty, draft.plan.exhausted.isEmpty else { return share - left }
        var passed = 0
        for id in waiting[model] where left > 0 {
            guard let entry = entries[id], !entry.isHeld else { continue }
            // One that waits for something else than pages keeps none behind it from coming in.
            guard let pages = needed(id, entry.left + 1) else {
                passed += 1
                if passed > Self.mostPassed { break }
                continue
            }
            // The whole prompt's pages and the first token's have to be there, so that it is not put back at once.
            guard hasPlace(entry), draft.take(pages, for: id, of: model) else { break }
            waiting[model].removeAll { $0 == id }
            groups[entry.group]?.running += 1
            running.insert(id, at: running.firstIndex { (entries[$0]?.order ?? 0) > entry.order } ?? running.count)
            let count = min(entry.left, left)
            draft.run(id, count)
            left -= count
        }
        return share - left
    }

    /// Whether a waiting sequence may run beside those that do.
    private func hasPlace(_ entry: Entry) -> Bool {
        guard let group = groups[entry.group] else { return true }
        var held = [Int](repeating: 0, count: waiting.count)
        for other in groups.values { held[other.model] += other.places }
        var after = group
        after.running += 1
        let wanted = after.places - group.places
        guard wanted > 0 else { return true }
        let free = available(limits.running, to: entry.model, held: held)
        // Many places may never be free at once: the first of its model runs with those its model is sure of.
        let fewest = held[entry.model] > 0 ? wanted : min(wanted, max(1, guarantee(of: limits.running)))
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

    private mutating func putBack(_ id: Int, _ plan: inout Plan) {
        guard let entry = entries[id] else { return }
        running.removeAll { $0 == id }
        groups[entry.group]?.running -= 1
        let place = waiting[entry.model].firstIndex { (entries[$0]?.order ?? 0) > entry.order } ?? waiting[entry.model].count
        waiting[entry.model].insert(id, at: place)
        plan.preempted.append(id)
    }
}
