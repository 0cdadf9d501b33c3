import Glibc

/// Expected attention: the slots that queries behind the prompt are expected to attend to, times their values' norm (Devoto et
/// al. 2025, section 3).
///
/// Queries before rotation are taken as normally distributed, by the prompt's mean μ and covariance Σ; with R̄ the mean rotation
/// over the next positions, a query head's score is softmax over slots of kᵀR̄μ·s + kᵀR̄ΣR̄ᵀk·s²/2, s the factor on scores. A KV
/// head's is the mean over its group. Sinks are kept, and left out of the softmax and, as queries, of the statistics.
struct ExpectedAttention: EvictionPolicy {
    let name = "expected-attention"
    let options: Set<EvictionOption> = [.sinks, .recent, .future]
    let inputs: RetentionInputs = [.keys, .values, .queries]
    let decidesBehindPrompt = false
    let isQueryAgnostic = true
    private(set) var sinks = 4
    private var future = 512

    mutating func set(_ settings: EvictionSettings) {
        (sinks, future) = (settings.sinks ?? sinks, settings.future ?? future)
    }

    func firstObserved(before decision: Int) -> Int { min(sinks, decision) }

    func scores(_ stream: StreamState) -> [[Double]] {
        guard let queries = stream.queries else { preconditionFailure("expected-attention: no queries were observed") }
        let group = queries.heads / stream.kvHeads
        let positions = stream.tokens..<stream.tokens + future
        return (0..<stream.kvHeads).map { head in
            let keys = stream.keys[head].vectors(stream.slots)[sinks...]
            var scores = [Double](repeating: 0, count: keys.count)
            for member in head * group..<(head + 1) * group {
                let logits = Self.logits(keys, queries, head: member, over: positions)
                let top = logits.max() ?? 0
                let weights = logits.map { exp($0 - top) }
                let sum = weights.reduce(0, +)
                for (index, weight) in weights.enumerated() { scores[index] += weight / sum / Double(group) }
            }
            let norms = stream.values[head].vectors(stream.slots)[sinks...].map(\.norm)
            return [Double](repeating: .infinity, count: sinks) + zip(scores, norms).map { $0 * $1 }
        }
    }

    /// The logarithms of the expected exponentials of a query head's scores.
    private static func logits(
        _ keys: ArraySlice<ArraySlice<Float>>, _ queries: QueryStatistics, head: Int, over positions: Range<Int>
    ) -> [Double] {
        let (mean, covariance) = queries.expected(head, over: positions)
        let (dim, scale) = (queries.dim, Double(queries.scale))
        return keys.map { key in
            let key = key.map { Double($0) * scale }
            var sum = 0.0
            for i in 0..<dim {
                var product = 0.0
                for j in 0..<dim { product += covariance[i * dim + j] * key[j] }
                sum += key[i] * (mean[i] + product / 2)
            }
            return sum
        }
    }
}
