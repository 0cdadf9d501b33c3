/// RazorAttention: retrieval heads keep every slot, the others attention sinks and the newest tokens (Tang et al. 2024,
/// "RazorAttention: Efficient KV Cache Compression Through Retrieval Heads", section 3.2).
///
/// Of each fifteen heads kept whole one is the next by its echo score, fourteen by their induction score: the paper's 1 % and 14 %.
/// Departures: the paper's others keep the newest fifth of the prompt, at least 4,000 tokens, here `--kv-recent`; and a
/// compensation token, the mean of the dropped keys and values that counts as often as there were any, which attention over slots of
/// weight one cannot express: dropped slots leave nothing.
struct RazorAttention: HeadPolicy {
    let name = "razor-attention"
    let scoreNames = ["echo", "induction"]
    let sinks = 4

    func newest(of budget: Int) -> Int { 256 }

    func ranking(_ scores: [[Double]]) -> [Int] {
        var orders = scores.map { scores in scores.indices.sorted { (-scores[$0], $0) < (-scores[$1], $1) }[...] }
        var (ranking, isRanked) = ([Int](), Set<Int>())
        while ranking.count < scores[0].count {
            let next = orders[ranking.count % 15 == 0 ? 0 : 1].popFirst()
            if let next, isRanked.insert(next).inserted { ranking.append(next) }
        }
        return ranking
    }
}
