/// SnapKV: the slots that the prompt's last queries attend to most, pooled along the sequence, and those queries' own slots
/// (Li et al. 2024, section 4).
///
/// A KV head's score is the mean over the query heads of its group, as in kvpress. The authors' code repeats keys and values to
/// query heads, each of which then keeps slots of its own; that would undo the saving of grouped heads, and is not offered. Their
/// constants are the defaults, a window of 32 and an average of 5; their LongBench runs have 8 and max7, kvpress 64 and 5.
struct SnapKV: EvictionPolicy {
    let name = "snapkv"
    let options: Set<EvictionOption> = [.sinks, .window, .pool]
    let inputs: RetentionInputs = .mass
    let phase = EvictionPhase.promptEnd
    private(set) var window = 32
    private var pool: ScorePool

    /// The policy with scores pooled as `pool` says.
    init(pool: ScorePool = .average(5)) { self.pool = pool }

    func with(_ settings: EvictionSettings) -> SnapKV {
        var copy = self
        (copy.window, copy.pool) = (settings.window ?? window, settings.pool ?? pool)
        return copy
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

/// PyramidKV: SnapKV with more slots the lower a layer (Cai et al. 2024).
struct PyramidKV: EvictionPolicy {
    let name = "pyramidkv"
    private var scoring = SnapKV()

    var options: Set<EvictionOption> { scoring.options }
    var inputs: RetentionInputs { scoring.inputs }
    var phase: EvictionPhase { scoring.phase }
    var allocation: BudgetAllocation { .pyramid }

    func with(_ settings: EvictionSettings) -> PyramidKV {
        var copy = self
        copy.scoring = scoring.with(settings)
        return copy
    }

    func newest(of budget: Int) -> Int { scoring.newest(of: budget) }
    func firstObserved(before decision: Int) -> Int { scoring.firstObserved(before: decision) }
    func scores(_ stream: StreamState) -> [[Double]] { scoring.scores(stream) }
}
