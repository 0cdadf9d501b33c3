/// SnapKV: the slots that the prompt's last queries attend to most, pooled along the sequence, and those queries' own slots
/// (Li et al. 2024, section 4).
///
/// A KV head's score is the mean over the query heads of its group, as in kvpress. The authors' code repeats keys and values to
/// query heads, each of which then keeps slots of its own; that would undo the saving of grouped heads, and is not offered. Their
/// constants are the defaults, a window of 32 and an average of 5; their LongBench runs have 8 and max7, kvpress 64 and 5.
struct SnapKV: EvictionPolicy {
    let name: String
    let allocation: BudgetAllocation
    let options: Set<EvictionOption> = [.sinks, .window, .pool]
    let inputs: RetentionInputs = .mass
    let decidesBehindPrompt = false
    private var window = 32
    private var pool: ScorePool

    /// SnapKV, or a policy of a `name` with its scores, pooled as `pool` says, that divides budgets as `allocation` says.
    init(name: String = "snapkv", pool: ScorePool = .average(5), allocation: BudgetAllocation = .uniform) {
        (self.name, self.pool, self.allocation) = (name, pool, allocation)
    }

    /// PyramidKV: SnapKV with more slots the lower a layer (Cai et al. 2024).
    static let pyramid = SnapKV(name: "pyramidkv", allocation: .pyramid)

    /// AdaKV: SnapKV's scores, by which the heads of a layer divide their budgets (Feng et al. 2024, "Ada-KV: Optimizing KV Cache
    /// Eviction by Adaptive Budget Allocation for Efficient LLM Inference", section 4).
    ///
    /// A window of 32 queries and max7 are the constants of the authors' Ada-SnapKV.
    static let ada = SnapKV(name: "adakv", pool: .max(7), allocation: .ada)

    mutating func set(_ settings: EvictionSettings) {
        (window, pool) = (settings.window ?? window, settings.pool ?? pool)
    }

    func newest(of budget: Int) -> Int { window }

    func firstObserved(before decision: Int) -> Int { max(0, decision - window) }

    func scores(_ stream: StreamState) -> [[Double]] {
        stream.mass.map { mass in
            // The window's own slots are kept without a score and take no part in the pooling.
            let before = max(0, stream.slots - window)
            return pool.apply(mass[..<before].map { Double($0) }[...]) + [Double](repeating: 0, count: stream.slots - before)
        }
    }
}
