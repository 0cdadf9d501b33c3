import Glibc
import Random

/// How the next token is chosen from its logits.
public struct Sampler: Sendable, Hashable {
    /// 0 takes the likeliest token; above, logits are divided by it.
    public var temperature: Double
    /// Only the `topK` likeliest tokens may be drawn; nil for all.
    public var topK: Int?
    /// Only the fewest likeliest tokens whose probabilities reach `topP` may be drawn; nil for all (Holtzman et al. 2020).
    public var topP: Double?

    /// A sampler; by default greedy, in which case `topK` and `topP` change nothing.
    ///
    /// A `temperature` of 0 or below is greedy, a `topK` below 1 counts as 1.
    public init(temperature: Double = 0, topK: Int? = nil, topP: Double? = nil) {
        self.temperature = temperature
        self.topK = topK
        self.topP = topP
    }

    /// The likeliest token; the lowest id of several equal ones, and never one whose logit is not a number, if another is.
    public static func greedy(_ logits: [Float]) -> Int32 {
        var best = 0
        for (index, value) in logits.enumerated() where value > logits[best] || (logits[best].isNaN && !value.isNaN) {
            best = index
        }
        return Int32(best)
    }

    /// Draws a token id from `logits` [vocab]; greedy at temperature 0. Top-k is applied before top-p.
    public func sample(_ logits: [Float], using generator: inout SeededGenerator) -> Int32 {
        guard temperature > 0 else { return Self.greedy(logits) }
        var candidates = Array(logits.indices)
        // Ties fall to the lower id, so that a draw does not depend on the sort.
        let likelier: (Int, Int) -> Bool = { logits[$0] != logits[$1] ? logits[$0] > logits[$1] : $0 < $1 }
        if topK != nil || topP != nil { candidates.sort(by: likelier) }
        if let topK { candidates = Array(candidates.prefix(max(1, topK))) }
        let top = candidates.reduce(-Float.infinity) { max($0, logits[$1]) }
        var weights = candidates.map { exp(Double(logits[$0] - top) / temperature) }
        if let topP {
            let limit = topP * weights.reduce(0, +)
            var sum = 0.0
            let kept =
                (weights.firstIndex { weight in
                    sum += weight
                    return sum >= limit
                }).map { $0 + 1 } ?? weights.count
            weights = Array(weights.prefix(kept))
        }
        var draw = generator.uniform() * weights.reduce(0, +)
        for (index, weight) in weights.enumerated() {
            draw -= weight
            if draw < 0 { return Int32(candidates[index]) }
        }
        return Int32(candidates[weights.count - 1])
    }
}
