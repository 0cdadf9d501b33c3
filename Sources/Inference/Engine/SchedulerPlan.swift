extension Scheduler {
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
                preempt(victim, &draft.plan)
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

    /// Resolves a deadlock: preempts or ends a sequence where otherwise nothing would ever run.
    private mutating func makeRoom(_ draft: inout Draft) {
        if let newest = running.last {
            // Only unfinished prompts run and none finds a page: the newest is preempted.
            if running.count > 1 || entries[newest]?.isHeld == true {
                preempt(newest, &draft.plan)
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
}
