/// KVzip: the slots that the model attends to while it repeats the prompt (Kim et al. 2025, "KVzip: Query-Agnostic KV Cache Compression
/// with Context Reconstruction", section 3).
///
/// A slot's score is the highest attention weight that any query of the repetition, of any query head of the group, gives it
/// (``Reconstruction``). All heads of all layers divide their budgets by the scores, without a safeguard: the paper's non-uniform budgets
/// and kvpress's default; `ada` is kvpress's `layerwise`.
struct KVzip: EvictionPolicy {
    let name = "kvzip"
    let options: Set<EvictionOption> = [.sinks, .recent]
    let decidesBehindPrompt = false
    let sinks = 4
    let allocation = BudgetAllocation.global
    let safeguard = 0.0
    let isQueryAgnostic = true
    /// Tokens repeated at a time, the paper's and kvpress's number.
    var reconstructedChunk: Int? = 2048

    func scores(_ stream: StreamState) -> [[Double]] { stream.peaks.map { $0.map { Double($0) } } }
}
