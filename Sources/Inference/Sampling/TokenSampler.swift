import Kernels
import Random

/// Samples one sequence's tokens by its options, its random numbers and its previous tokens.
///
/// A sample depends on the logits, the seed and the sequence alone.
struct TokenSampler: Sendable {
    let options: SamplingOptions
    let seed: UInt64
    private var generator: SeededGenerator
    private var generated: [Int32: Int] = [:]
    private let prompt: Set<Int32>
    /// Tokens that end an output, and the tokens until one of them may be drawn.
    private let stopIDs: Set<Int32>
    private var tokensToStop: Int

    init(_ options: SamplingOptions, seed: UInt64, stream: UInt64, prompt: [Int32], stopIDs: Set<Int32> = []) {
        self.options = options
        (self.stopIDs, tokensToStop) = (stopIDs, stopIDs.isEmpty ? 0 : options.minTokens)
        self.seed = seed
        generator = SeededGenerator(seed: seed, stream: stream)
        self.prompt = options.repetitionPenalty == 1 ? [] : Set(prompt)
    }

    private var sampler: Sampler {
        Sampler(temperature: options.temperature, topK: options.topK, topP: options.topP, minP: options.minP)
    }

    private var editsLogits: Bool {
        tokensToStop > 0 || !options.logitBias.isEmpty || options.presencePenalty != 0 || options.frequencyPenalty != 0
            || options.repetitionPenalty != 1
    }

    /// Samples from row `row` of logits [.., width]; `greedy` is the row's likeliest token.
    mutating func choose(_ logits: Storage, row: Int, width: Int, greedy: Int32) -> SampledToken {
        // Without edits of the logits, greedy sampling is their argmax.
        var token = SampledToken(id: greedy)
        if editsLogits || !sampler.isGreedy {
            var values = logits.array(row * width..<(row + 1) * width)
            edit(&values)
            token.id = sampler.sample(values, using: &generator)
        }
        defer { tokensToStop = max(0, tokensToStop - 1) }
        if editsLogits { generated[token.id, default: 0] += 1 }
        if let count = options.logprobs { Self.score(&token, logits, row: row, width: width, top: count) }
        return token
    }

    /// Sets a token's ln p and the `top` likeliest tokens of its row.
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
        if tokensToStop > 0 { for id in stopIDs where values.indices.contains(Int(id)) { values[Int(id)] = -.infinity } }
        for (id, bias) in options.logitBias where values.indices.contains(Int(id)) { values[Int(id)] += bias }
    }

    /// Indices of the `count` greatest values in descending order; ties fall to the lower index.
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
