/// H2O: the slots that got the most attention from all queries so far, and the newest tokens (Zhang et al. 2023, section 4), half
/// of the budget each.
///
/// Sums are not divided by the queries that saw a slot, as in the authors' code: old tokens are favoured.
struct HeavyHitters: EvictionPolicy {
    let name = "h2o"
    let inputs: RetentionInputs = .mass
    let accumulates = true

    func newest(of budget: Int) -> Int { budget / 2 }

    func scores(_ stream: StreamState) -> [[Double]] { stream.mass.map { $0.map { Double($0) } } }
}

/// Observed attention: the slots with the highest mean attention over the queries that saw them, kvpress's relative of H2O.
struct ObservedAttention: EvictionPolicy {
    let name = "observed-attention"
    let inputs: RetentionInputs = .mass
    let accumulates = true

    func scores(_ stream: StreamState) -> [[Double]] {
        stream.mass.enumerated().map { head, mass in
            mass.enumerated().map { slot, sum in Double(sum) / Double(stream.tokens - stream.position(slot, head: head)) }
        }
    }
}
