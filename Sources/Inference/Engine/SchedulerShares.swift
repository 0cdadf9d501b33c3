/// How competing tenants share an engine.
///
/// With n tenants, each is guaranteed one n-th of the step's tokens, of the running places and of the pages; the others use the
/// rest of an unused share.
///
/// **Tokens.** A step's tokens are divided by max-min fairness (Bertsekas and Gallager 1992, Data Networks, 6.5.2): a tenant that
/// asks for less than an equal share gets all of it, the others divide the rest evenly. A step can be divided to the token, so
/// the deficit that deficit round robin (Shreedhar and Varghese 1995) carries over for packets larger than a turn is always 0.
/// Remainder tokens go to the tenant with the fewest tokens so far, by counters that start at the fewest of those present, as in
/// VTC (Sheng et al. 2024, Fairness in Serving Large Language Models). VTC alone would give one tenant whole steps until the
/// counters cross.
///
/// **Places and pages.** A waiting sequence that keeps its tenant within an equal share is admitted before anything else grows.
/// Where no place or page is free, it preempts the newest sequences of tenants above their shares. Only sequences that have
/// decoded ``safeTokens`` tokens since admission are preempted so, which guarantees progress between preemption and
/// recomputation.
///
/// **Larger requests.** A sequence larger than an equal share is admitted once the running sequences have ended. While its tenant
/// has nothing running, the pages it needs are kept free for it. Exempt are tenants within their shares that have had at most as
/// many tokens as its tenant had and it still has to compute.
///
/// So a sequence within its tenant's share waits at most until the sequences above theirs have computed their prompts, in
/// n · capacity / tokensPerStep steps, and decoded ``safeTokens`` tokens, if its tenant has not had more than other waiting ones.
/// From then on it has tokensPerStep / n tokens a step, or all it asks for.
extension Scheduler {
    /// Tokens that a sequence decodes after admission before another tenant's sequence may preempt it.
    static let safeTokens = 16

    /// The shares of competing tenants, and their present use.
    struct Shares {
        /// Tokens of this step.
        var tokens: [String: Int] = [:]
        /// Running sequences of each tenant, and the pages they hold.
        var running: [String: Int] = [:]
        var pages: [String: Int]
        /// The equal share of the running places, and of the pages that each model can have.
        let places: Int
        let pagesOfModel: [Int]

        init(_ scheduler: Scheduler, _ ledger: PageLedger, pages: [String: Int]) {
            self.pages = pages
            for id in scheduler.running {
                guard let entry = scheduler.entries[id] else { continue }
                running[entry.tenant, default: 0] += 1
            }
            let (count, sure) = (scheduler.tenants.count, ledger.guarantees.reduce(0, +))
            let all = ledger.free + ledger.used.reduce(0, +)
            places = max(1, scheduler.limits.running / count)
            pagesOfModel = ledger.guarantees.map { (all - sure + $0) / count }
        }

        /// Whether a tenant has more than its share of some model's pages.
        func isAbove(_ tenant: String) -> Bool { (pages[tenant] ?? 0) > (pagesOfModel.min() ?? 0) }
    }

    /// A reservation for a sequence of a tenant without running ones.
    struct Reserve {
        let tenant: String
        let order: Int
        let model: Int
        let pages: Int
        /// The most tokens that a tenant admitted before it may have had, counted as ``Tenant/served``.
        let credit: Int
    }

    /// Tenants with sequences, those with the fewest tokens first.
    var tenantsByTokens: [String] {
        tenants.sorted { ($0.value.served, $0.value.order) < ($1.value.served, $1.value.order) }.map(\.key)
    }

    /// Each tenant's share of a draft's tokens, by max-min fairness.
    func tokenShares(_ draft: Draft) -> [String: Int] {
        var wanted: [String: Int] = [:]
        for (id, entry) in entries where !entry.isHeld { wanted[entry.tenant, default: 0] += draft.view.left(id) }
        let order = tenantsByTokens.filter { wanted[$0] != nil }
        var (left, shares) = (draft.budget, [String: Int]())
        let modest = order.sorted { (wanted[$0] ?? 0) < (wanted[$1] ?? 0) }
        for (index, tenant) in modest.enumerated() {
            // From the first tenant above an equal share on, all remaining ones are.
            let level = left / (modest.count - index)
            guard wanted[tenant] ?? 0 > level else {
                shares[tenant] = wanted[tenant]
                left -= wanted[tenant] ?? 0
                continue
            }
            for other in modest[index...] { shares[other] = level }
            left -= level * (modest.count - index)
            break
        }
        // The remainder tokens.
        for tenant in order where left > 0 && (shares[tenant] ?? 0) < (wanted[tenant] ?? 0) {
            shares[tenant, default: 0] += 1
            left -= 1
        }
        return shares
    }

    /// Admits sequences that keep their tenants within their shares, and preempts sequences above them to make room.
    mutating func admitWithinShares(_ draft: inout Draft) {
        let (before, view) = (draft.shares, draft.view)
        draft.reserve = reserve(draft)
        let order = tenantsByTokens.sorted {
            (before?.running[$0] ?? 0) < (before?.running[$1] ?? 0)
        }
        for tenant in order {
            var tokens = max(1, limits.tokensPerStep / tenants.count)
            for model in served.indices.sorted(by: { (served[$0], $0) < (served[$1], $1) }) {
                var passed = 0
                for id in tenants[tenant]?.waiting[model] ?? [] where tokens > 0 && passed <= Self.mostPassed {
                    guard let entry = entries[id], !entry.isHeld else { continue }
                    guard let pages = view.pagesNeeded(id, view.left(id) + 1) else {
                        passed += 1
                        continue
                    }
                    guard mayGoFirst(entry, pages, draft), findRoom(pages, for: entry, &draft),
                        draft.take(pages, for: id, of: model)
                    else { break }
                    admit(id)
                    draft.shares?.running[tenant, default: 0] += 1
                    draft.shares?.pages[tenant, default: 0] += pages
                    tokens -= view.left(id)
                }
            }
        }
        if let tenant = draft.reserve?.tenant, draft.shares?.running[tenant] != nil { draft.reserve = nil }
    }

    /// A reservation for the oldest sequence larger than an equal share of the pages, of a tenant without running sequences.
    private func reserve(_ draft: Draft) -> Reserve? {
        guard let shares = draft.shares else { return nil }
        var oldest: Reserve?
        for (name, tenant) in tenants where shares.running[name] == nil {
            for (model, ids) in tenant.waiting.enumerated() {
                guard let id = ids.first(where: { entries[$0]?.isHeld == false }), let entry = entries[id],
                    entry.order < oldest?.order ?? .max, let pages = draft.view.pagesNeeded(id, draft.view.left(id) + 1),
                    pages > shares.pagesOfModel[model], pages <= shares.pagesOfModel[model] * tenants.count
                else { continue }
                oldest = Reserve(
                    tenant: name, order: entry.order, model: model, pages: pages, credit: tenant.served + draft.view.left(id))
            }
        }
        return oldest
    }

    /// Whether a sequence that keeps its tenant within its share may be admitted before the one with the reservation.
    private func mayGoFirst(_ entry: Entry, _ pages: Int, _ draft: Draft) -> Bool {
        guard let reserve = draft.reserve, tenants[entry.tenant]?.served ?? 0 > reserve.credit else { return true }
        return draft.leavesReserve(pages, entry, running: running.count, of: limits.running)
    }

    /// Finds a running place and `pages` for a sequence that keeps its tenant within its share, preempting others if need be;
    /// false where there is no such room.
    private mutating func findRoom(_ pages: Int, for entry: Entry, _ draft: inout Draft) -> Bool {
        guard var shares = draft.shares, (shares.running[entry.tenant] ?? 0) < shares.places,
            (shares.pages[entry.tenant] ?? 0) + pages <= shares.pagesOfModel[entry.model]
        else { return false }
        var (ledger, back) = (draft.ledger, [Int]())
        while true {
            let lacksPages = ledger.available(to: entry.model) < pages
            guard lacksPages || running.count - back.count >= limits.running else { break }
            let above = running.filter { other in
                guard let it = entries[other], it.tenant != entry.tenant, !back.contains(other) else { return false }
                guard lacksPages else { return shares.running[it.tenant] ?? 0 > shares.places }
                return (shares.pages[it.tenant] ?? 0) > shares.pagesOfModel[entry.model]
                    && (it.model == entry.model || ledger.used[it.model] > ledger.guarantees[it.model])
            }
            guard let victim = above.last(where: { (entries[$0]?.decoded ?? 0) >= Self.safeTokens }), let it = entries[victim]
            else {
                // Sequences that share all their pages free them only when the last one is preempted, as the next step will see.
                if above.isEmpty { for id in back { preempt(id, &draft.plan) } }
                return false
            }
            back.append(victim)
            let count = draft.view.pagesFreed(victim)
            ledger.give(count, of: it.model)
            shares.pages[it.tenant, default: 0] -= count
            shares.running[it.tenant, default: 0] -= 1
        }
        for id in back { preempt(id, &draft.plan) }
        (draft.ledger, draft.shares) = (ledger, shares)
        return true
    }
}

extension Scheduler.Draft {
    /// Whether admitting another tenant's sequence with `pages` respects the reservation.
    func leavesReserve(_ pages: Int, _ entry: Scheduler.Entry, running: Int, of places: Int) -> Bool {
        guard let reserve, entry.tenant != reserve.tenant else { return true }
        var ledger = ledger
        return running + 1 < places && ledger.take(pages, for: entry.model)
            && ledger.available(to: reserve.model) >= reserve.pages
    }
}
