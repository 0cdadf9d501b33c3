import Kernels
import Random

/// How the next token is sampled from its logits.
public struct Sampler: Sendable, Hashable {
    /// 0 is greedy; above, logits are divided by it.
    public var temperature: Double
    /// Top-k: only the `topK` likeliest tokens may be drawn; nil for all.
    public var topK: Int?
    /// Top-p: only the fewest likeliest tokens whose probabilities reach `topP` may be drawn (Holtzman et al. 2020); 1 for all.
    public var topP: Double
    /// Min-p: only tokens of at least `minP` times the likeliest one's probability may be drawn (Nguyen et al. 2024).
    public var minP: Double

    /// A sampler; by default greedy, in which case the other options change nothing.
    ///
    /// A `temperature` of 0 or below is greedy, a `topK` below 1 counts as 1.
    public init(temperature: Double = 0, topK: Int? = nil, topP: Double = 1, minP: Double = 0) {
        (self.temperature, self.topK, self.topP, self.minP) = (temperature, topK, topP, minP)
    }

    /// The least temperature that is not greedy: below it the distribution is one-hot and the reciprocal too large to compute
    /// with.
    private static let leastTemperature = 1e-5

    var isGreedy: Bool { temperature < Self.leastTemperature }

    /// The likeliest token; the lowest id of equal ones, and no NaN logit's unless all are NaN.
    public static func greedy(_ logits: [Float]) -> Int32 {
        var best = 0
        for (index, value) in logits.enumerated() where value > logits[best] || (logits[best].isNaN && !value.isNaN) {
            best = index
        }
        return Int32(best)
    }

    /// Draws a token id from `logits` [vocab]; greedy at temperature 0.
    public func sample(_ logits: [Float], using generator: inout SeededGenerator) -> Int32 {
        guard !isGreedy else { return Self.greedy(logits) }
        let probabilities = LogitRows.softmax(logits, temperature: Float(temperature))
        let uniform = generator.uniform()
        // NaN or infinite probabilities are no distribution to draw from.
        guard probabilities.allSatisfy(\.isFinite) else { return Self.greedy(logits) }
        guard topK != nil || topP < 1 || minP > 0 else { return Self.pick(probabilities.indices, probabilities, uniform) }
        return Self.pick(candidates(probabilities), probabilities, uniform)
    }

    /// The tokens that may be drawn, likeliest first: after top-k, then top-p, then min-p.
    private func candidates(_ probabilities: [Float]) -> [Int] {
        let top = probabilities.max() ?? 0
        let wanted = max(1, topK ?? probabilities.count)
        // Candidates lie above a threshold, lowered until all of them do: sorting the whole row is seldom needed.
        var threshold = top / 256
        var found: [Int] = []
        while true {
            found = probabilities.indices.filter { probabilities[$0] >= threshold }
            let mass = found.reduce(0.0) { $0 + Double(probabilities[$1]) }
            if found.count >= min(wanted, probabilities.count) || threshold == 0 { break }
            // Top-p counts all of the mass that top-k leaves.
            if topK == nil, topP < 1, mass >= topP { break }
            threshold = threshold < 1e-30 ? 0 : threshold / 4096
        }
        found.sort { probabilities[$0] != probabilities[$1] ? probabilities[$0] > probabilities[$1] : $0 < $1 }
        found = Array(found.prefix(wanted))
        if topP < 1 {
            // A share of the mass that top-k left.
            let limit = topP * (topK == nil ? 1 : found.reduce(0.0) { $0 + Double(probabilities[$1]) })
            var sum = 0.0
            let last = found.firstIndex { index in
                sum += Double(probabilities[index])
                return sum >= limit
            }
            if let last { found = Array(found[...last]) }
        }
        return minP > 0 ? found.filter { Double(probabilities[$0]) >= minP * Double(top) } : found
    }

    private static func pick(_ candidates: some Collection<Int>, _ probabilities: [Float], _ uniform: Double) -> Int32 {
        var left = uniform * candidates.reduce(0.0) { $0 + Double(probabilities[$1]) }
        var last = 0
        for index in candidates where probabilities[index] > 0 {
            left -= Double(probabilities[index])
            last = index
            if left < 0 { break }
        }
        return Int32(last)
    }
}
