import Kernels
import Random

/// Draws one sequence's tokens: its options, its own random numbers, and what it has generated.
///
/// A draw depends on the logits, the seed and the sequence alone.
struct TokenSampler: Sendable {
    let options: SamplingOptions
    let seed: UInt64
    private var generator: SeededGenerator
    private var generated: [Int32: Int] = [:]
    private let prompt: Set<Int32>

    init(_ options: SamplingOptions, seed: UInt64, stream: UInt64, prompt: [Int32]) {
        self.options = options
        self.seed = seed
        generator = SeededGenerator(seed: seed, stream: stream)
        self.prompt = options.repetitionPenalty == 1 ? [] : Set(prompt)
    }

    /// Below this a temperature leaves nothing to chance, and its reciprocal is no factor to compute with.
    private static let leastTemperature = 1e-5

    private var isGreedy: Bool { options.temperature < Self.leastTemperature }

    /// Whether the likeliest token is taken, unedited.
    var isPlainGreedy: Bool { isGreedy && !editsLogits }

    private var editsLogits: Bool {
        !options.logitBias.isEmpty || options.presencePenalty != 0 || options.frequencyPenalty != 0
            || options.repetitionPenalty != 1
    }

    /// Chooses from row `row` of logits [.., width]; `greedy` is the row's likeliest token.
    mutating func choose(_ logits: Storage, row: Int, width: Int, greedy: Int32) -> SampledToken {
        var token = SampledToken(id: greedy)
        if !isPlainGreedy {
            var values = logits.array(row * width..<(row + 1) * width)
            edit(&values)
            token.id = isGreedy ? Sampler.greedy(values) : draw(values)
        }
        generated[token.id, default: 0] += 1
        if let count = options.logprobs { Self.score(&token, logits, row: row, width: width, top: count) }
        return token
    }

    /// Fills in a token's ln p and the `top` likeliest tokens of its row.
    static func score(_ token: inout SampledToken, _ logits: Storage, row: Int, width: Int, top: Int) {
        let logprobs = LogitRows.logSoftmax(logits, row: row, width: width)
        token.logprob = logprobs[Int(token.id)]
        token.top = likeliest(logprobs, top).map { TokenLogprob(id: Int32($0), logprob: logprobs[$0]) }
    }

    private func edit(_ values: inout [Float]) {
        if options.repetitionPenalty != 1 {
            let penalty = Float(options.repetitionPenalty)
            for id in prompt.union(generated.keys) where values.indices.contains(Int(id)) {
                values[Int(id)] = values[Int(id)] > 0 ? values[Int(id)] / penalty : values[Int(id)] * penalty
            }
        }
        if options.presencePenalty != 0 || options.frequencyPenalty != 0 {
            for (id, count) in generated {
                values[Int(id)] -= Float(options.presencePenalty) + Float(count) * Float(options.frequencyPenalty)
            }
        }
        for (id, bias) in options.logitBias where values.indices.contains(Int(id)) { values[Int(id)] += bias }
    }

    private mutating func draw(_ logits: [Float]) -> Int32 {
        let probabilities = LogitRows.softmax(logits, temperature: Float(options.temperature))
        let uniform = generator.uniform()
        // Logits that are no numbers have no distribution to draw from.
        guard probabilities.allSatisfy(\.isFinite) else { return Sampler.greedy(logits) }
        guard options.topK != nil || options.topP < 1 || options.minP > 0 else {
            return Self.pick(probabilities.indices, probabilities, uniform)
        }
        return Self.pick(candidates(probabilities), probabilities, uniform)
    }

    /// The tokens that may be drawn, the likeliest first: top-k, then top-p, then min-p.
    private func candidates(_ probabilities: [Float]) -> [Int] {
        let top = probabilities.max() ?? 0
        let wanted = max(1, options.topK ?? probabilities.count)
        // All that can be kept lie above a threshold, which is lowered until they do: sorting the whole row is seldom needed.
        var threshold = top / 256
        var found: [Int] = []
        while true {
            found = probabilities.indices.filter { probabilities[$0] >= threshold }
            let mass = found.reduce(0.0) { $0 + Double(probabilities[$1]) }
            if found.count >= min(wanted, probabilities.count) || threshold == 0 { break }
            // Top-p goes by the mass of what top-k leaves, all of it.
            if options.topK == nil, options.topP < 1, mass >= options.topP { break }
            threshold = threshold < 1e-30 ? 0 : threshold / 4096
        }
        found.sort { probabilities[$0] != probabilities[$1] ? probabilities[$0] > probabilities[$1] : $0 < $1 }
        found = Array(found.prefix(wanted))
        if options.topP < 1 {
            // Of what top-k left, as a whole.
            let limit = options.topP * (options.topK == nil ? 1 : found.reduce(0.0) { $0 + Double(probabilities[$1]) })
            var sum = 0.0
            let last = found.firstIndex { index in
                sum += Double(probabilities[index])
                return sum >= limit
            }
            if let last { found = Array(found[...last]) }
        }
        return options.minP > 0 ? found.filter { Double(probabilities[$0]) >= options.minP * Double(top) } : found
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

    /// Indices of the `count` greatest values, the greatest first; ties fall to the lower index.
    static func likeliest(_ values: [Float], _ count: Int) -> [Int] {
        var best: [Int] = []
        for index in values.indices {
            if best.count == count, count == 0 || values[index] <= values[best[count - 1]] { continue }
            let place = best.firstIndex { values[index] > values[$0] } ?? best.count
            best.insert(index, at: place)
            if best.count > count { best.removeLast() }
        }
        return best
    }
}
