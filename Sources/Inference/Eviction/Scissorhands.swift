/// Scissorhands: the slots that the fewest of the last queries gave less than the mean attention, and the newest tokens (Liu et
/// al. 2023, section 4.1, algorithm 2).
///
/// A query at position t − 1 counts against a slot whose attention weight is below 1/t, as in the paper, although fewer than t
/// slots are left; a slot that fewer queries saw has fewer against it. The paper's constants are the defaults: the last 400
/// queries, here none from before the last decision, the newest 10 tokens (half of a budget below 20), and half of the cache
/// dropped at once, so that between decisions a cache grows to twice the budget. Query heads that share a KV head add their counts.
struct Scissorhands: EvictionPolicy {
    let name = "scissorhands"
    let options: Set<EvictionOption> = [.sinks, .recent, .window, .interval]
    let inputs: RetentionInputs = .rows
    private var window = 400

    mutating func set(_ settings: EvictionSettings) { window = settings.window ?? window }

    func newest(of budget: Int) -> Int { min(10, budget / 2) }

    func interval(of budget: Int) -> Int { budget }

    func firstObserved(before decision: Int) -> Int { max(0, decision - window) }

    func weigh(_ weights: inout [Float], of query: ObservedQuery) {
        // A single slot has all of the attention, however its weight is rounded.
        let mean = weights.count > 1 ? 1 / Float(query.position + 1) : 0
        for slot in weights.indices { weights[slot] = weights[slot] < mean ? 1 : 0 }
    }

    func scores(_ stream: StreamState) -> [[Double]] { stream.weighed.map { $0.map { -Double($0) } } }
}
