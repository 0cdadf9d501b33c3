/// AdaKV: SnapKV's scores, by which the heads of a layer divide their budgets (Feng et al. 2024, "Ada-KV: Optimizing KV Cache
/// Eviction by Adaptive Budget Allocation for Efficient LLM Inference", section 4).
///
/// A window of 32 queries and max7 are the constants of the authors' Ada-SnapKV.
struct AdaKV: EvictionPolicy {
    let name = "adakv"
    private var scoring = SnapKV(pool: .max(7))

    var options: Set<EvictionOption> { scoring.options }
    var inputs: RetentionInputs { scoring.inputs }
    var phase: EvictionPhase { scoring.phase }
    var allocation: BudgetAllocation { .ada }

    func with(_ settings: EvictionSettings) -> AdaKV {
        var copy = self
        copy.scoring = scoring.with(settings)
        return copy
    }

    func newest(of budget: Int) -> Int { scoring.newest(of: budget) }
    func firstObserved(before decision: Int) -> Int { scoring.firstObserved(before: decision) }
    func scores(_ stream: StreamState) -> [[Double]] { scoring.scores(stream) }
}
