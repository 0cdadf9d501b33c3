import Glibc
import Random

/// Keyformer: the slots with the highest sum over all queries of softmax((x + ζ) / τ), x a query's scores and ζ Gumbel noise,
/// and the newest tokens (Adnan et al. 2024, section 3.3).
///
/// τ is 1 in the prompt and rises by 0.01 with each token behind it, and the newest tokens are 30 % of the budget, as in the
/// authors' code; the paper's τ reaches 2 with the last of a known number of tokens. Noise is drawn anew for each query and slot,
/// as in the code, here as a function of the seed, the layer, the head and both positions. Query heads that share a KV head add
/// their sums.
struct Keyformer: EvictionPolicy {
    let name = "keyformer"
    let options: Set<EvictionOption> = [.sinks, .recent, .interval, .seed]
    let inputs: RetentionInputs = .rows
    let accumulates = true
    private var seed: UInt64 = 0

    mutating func set(_ settings: EvictionSettings) { seed = settings.seed ?? seed }

    func newest(of budget: Int) -> Int { budget * 3 / 10 }

    func weigh(_ weights: inout [Float], of query: ObservedQuery) {
        let temperature = 1 + 0.01 * Double(max(0, query.position + 1 - query.prompt))
        let draws = SeededGenerator(
            seed: seed, stream: UInt64(query.layer), UInt64(query.head), UInt64(query.position))
        var terms = [Double](repeating: 0, count: weights.count)
        for slot in weights.indices {
            var draw = SeededGenerator(seed: draws.state, stream: UInt64(query.position(ofSlot: slot)))
            let noise = -log(-log(draw.uniform()))
            // A weight's logarithm is its score, but for the sum that all weights were divided by.
            terms[slot] = exp((log(Double(weights[slot])) + noise) / temperature)
        }
        let sum = terms.reduce(0, +)
        for slot in weights.indices { weights[slot] = Float(terms[slot] / sum) }
    }

    func scores(_ stream: StreamState) -> [[Double]] { stream.weighed.map { $0.map { Double($0) } } }
}
