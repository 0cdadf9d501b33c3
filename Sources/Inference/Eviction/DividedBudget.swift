/// Budgets that KV heads divide by their scores.
extension EvictionRetention {
    public var budgetScope: BudgetScope { policy is any HeadPolicy || !hasBudget ? .own : allocation.scope }

    /// The retained sets of the streams, whose heads together keep the sum of their budgets: the slots kept without a score, and the
    /// best of the others, as many for each head as ``BudgetAllocation/division(of:among:safeguard:)`` says.
    public func retained(_ streams: [StreamState]) -> [RetainedSlots] {
        guard budgetScope == .layer || budgetScope == .model, let first = streams.first else {
            return streams.map { retained($0) }
        }
        let budget = slots(prompt: first.prompt)
        var heads: [(guarded: [Int], ranked: [Int])] = []
        var scored: [ScoredHead] = []
        for stream in streams {
            for (head, scores) in policy.scores(stream).enumerated() {
                let slots = ranked(stream, head: head, scores, budget: budget)
                heads.append(slots)
                scored.append(
                    ScoredHead(
                        guarded: slots.guarded.count,
                        slots: slots.ranked.map { (scores[$0], stream.position($0, head: head)) }))
            }
        }
        let kept = zip(heads, allocation.division(of: budget, among: scored, safeguard: policy.safeguard)).map { head, count in
            (head.guarded + head.ranked.prefix(count)).sorted()
        }
        var next = 0
        return streams.map { stream in
            defer { next += stream.kvHeads }
            return .heads(Array(kept[next..<next + stream.kvHeads]))
        }
    }
}

/// A KV head that divides a budget with others.
struct ScoredHead {
    /// Slots kept without a score.
    var guarded: Int
    /// Scores and positions of the others, the best first.
    var slots: [(score: Double, position: Int)]
}

extension BudgetAllocation {
    /// The share of its budget that a head keeps whatever the others' scores (Feng et al. 2024, Ada-KV, section 4.2: the safeguard α).
    static let safeguard = 0.2

    /// Scored slots that each of `heads` keeps where each has a budget of `budget` slots, those kept without a score among them.
    ///
    /// Each head's best slots up to a share `safeguard` of its budget, and of all others the best, of equal ones the oldest; with a fifth:
    ///
    ///     two heads, a budget of 5 each:   9 8 7 6 5 4 3   and   2 2 1 1 0 0 0   keep   9 8 7 6 5 4 3   and   2 2 1
    ///
    /// kvpress's `AdaKVPress` divides a layer's budget so, with a fifth. The authors' numbers (algorithm 1) are means:
    /// four fifths of the numbers without a safeguard, one fifth of equal numbers, here rounded down but for the largest remainders,
    /// so that they add up.
    func division(of budget: Int, among heads: [ScoredHead], safeguard: Double) -> [Int] {
        let free = heads.map { max(0, budget - $0.guarded) }
        let total = free.reduce(0, +)
        guard self == .adaAuthors else {
            let least = max(1, Int(Double(budget) * safeguard))
            let safe = heads.map { min($0.slots.count, max(0, least - $0.guarded)) }
            let added = Self.best(total - safe.reduce(0, +), of: heads, behind: safe)
            return zip(safe, added).map { $0 + $1 }
        }
        let best = Self.best(total, of: heads, behind: heads.map { _ in 0 })
        let shares = zip(best, free).map { (1 - Self.safeguard) * Double($0) + Self.safeguard * Double($1) }
        var counts = zip(heads, shares).map { min($0.slots.count, Int($1)) }
        let order = heads.indices.sorted {
            (-shares[$0] + shares[$0].rounded(.down), $0) < (-shares[$1] + shares[$1].rounded(.down), $1)
        }
        var left = min(total, heads.reduce(0) { $0 + $1.slots.count }) - counts.reduce(0, +)
        while left > 0 {
            for head in order where left > 0 && counts[head] < heads[head].slots.count {
                counts[head] += 1
                left -= 1
            }
        }
        return counts
    }

    /// The number of each head's slots among the best `count` of all that follow its first `behind`.
    private static func best(_ count: Int, of heads: [ScoredHead], behind: [Int]) -> [Int] {
        var slots: [(score: Double, position: Int, head: Int)] = []
        for (index, head) in heads.enumerated() {
            slots += head.slots.dropFirst(behind[index]).map { ($0.score, $0.position, index) }
        }
        slots.sort { (-$0.score, $0.position, $0.head) < (-$1.score, $1.position, $1.head) }
        var counts = [Int](repeating: 0, count: heads.count)
        for slot in slots.prefix(max(0, count)) { counts[slot.head] += 1 }
        return counts
    }
}
