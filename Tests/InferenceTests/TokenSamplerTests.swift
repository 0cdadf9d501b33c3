import Foundation
import Kernels
import Testing

@testable import Inference

@Suite struct TokenSamplerTests {
    /// ln of 8, 4, 2, 1, 1 sixteenths.
    private let logits: [Float] = [8, 4, 2, 1, 1].map { log($0 / 16) }

    private func draws(
        _ logits: [Float], count: Int = 8000, prompt: [Int32] = [], _ change: (inout SamplingOptions) -> Void
    ) -> [Double] {
        var options = SamplingOptions()
        options.temperature = 1
        change(&options)
        var shares = [Double](repeating: 0, count: logits.count)
        let row = Storage(copying: logits)
        let greedy = LogitRows.argmax(row, rows: 1, width: logits.count)[0]
        for seed in 0..<count {
            // A sampler of its own for each draw: penalties count what one has generated.
            var sampler = TokenSampler(options, seed: UInt64(seed), stream: 0, prompt: prompt)
            shares[Int(sampler.choose(row, row: 0, width: logits.count, greedy: greedy).id)] += 1 / Double(count)
        }
        return shares
    }

    private func expect(_ shares: [Double], _ weights: [Double], _ place: SourceLocation = #_sourceLocation) {
        let total = weights.reduce(0, +)
        for (id, (share, weight)) in zip(shares, weights).enumerated() {
            // Four standard deviations of a share over 8000 draws; what may not be drawn never is.
            #expect(weight == 0 ? share == 0 : abs(share - weight / total) < 0.0224, "token \(id)", sourceLocation: place)
        }
    }

    @Test func `each row's likeliest token is the lowest of equal ones, and no rows have none`() {
        let rows = Storage(copying: [0, 2, 2, 1, -1, -3, -2, -1, 5, 4, 3, 2])
        #expect(LogitRows.argmax(rows, rows: 3, width: 4) == [1, 0, 0])
        #expect(LogitRows.argmax(rows, rows: 0, width: 4).isEmpty)
    }

    @Test func `draws follow the softmax at the temperature`() {
        expect(draws(logits) { _ in }, [8, 4, 2, 1, 1])
        // p^(1/2) and p².
        expect(draws(logits) { $0.temperature = 2 }, [8, 4, 2, 1, 1].map { Double($0).squareRoot() })
        expect(draws(logits) { $0.temperature = 0.5 }, [64, 16, 4, 1, 1])
        #expect(draws(logits, count: 50) { $0.temperature = 0 }[0] > 0.99)
    }

    @Test func `top-k, top-p and min-p keep the likeliest, in this order`() {
        expect(draws(logits) { $0.topK = 2 }, [8, 4, 0, 0, 0])
        expect(draws(logits) { $0.topK = 4 }, [8, 4, 2, 1, 0])
        // Half alone reaches 0.5; with the next 0.75, and with the third 0.875.
        expect(draws(logits) { $0.topP = 0.45 }, [8, 0, 0, 0, 0])
        expect(draws(logits) { $0.topP = 0.7 }, [8, 4, 0, 0, 0])
        expect(draws(logits) { $0.topP = 0.8 }, [8, 4, 2, 0, 0])
        // At least this share of the likeliest.
        expect(draws(logits) { $0.minP = 0.2 }, [8, 4, 2, 0, 0])
        // Of the two that top-k leaves, 8 of 12 reach 0.6; of all, they would not.
        expect(draws(logits) { ($0.topK, $0.topP) = (2, 0.6) }, [8, 0, 0, 0, 0])
        expect(draws(logits) { ($0.topK, $0.minP) = (3, 0.4) }, [8, 4, 0, 0, 0])
        // 0.9 of all 93 is reached by the third, 0.9 of the likeliest alone by the second.
        let long = [0.5, 0.35, 0.06] + [Double](repeating: 0.001, count: 90)
        let kept = draws(long.map { log(Float($0)) }) { ($0.topK, $0.topP) = (93, 0.9) }
        expect(kept, [0.5, 0.35, 0.06] + [Double](repeating: 0, count: 90))
    }

    @Test func `bias and penalties change the logits first`() {
        expect(draws(logits) { $0.logitBias = [4: log(8)] }, [8, 4, 2, 1, 8])
        expect(draws(logits) { $0.logitBias = [0: -.infinity] }, [0, 4, 2, 1, 1])
        // Negative logits are multiplied: p², where the prompt has the token.
        expect(draws(logits, prompt: [0]) { $0.repetitionPenalty = 2 }, [16 * 0.25, 4, 2, 1, 1])
        // Positive ones are divided.
        expect(draws([2, 0].map(Float.init), prompt: [0]) { $0.repetitionPenalty = 2 }, [Double(exp(Float(1))), 1])
    }

    @Test func `penalties count what was generated, not the prompt`() {
        var options = SamplingOptions()
        options.temperature = 0
        // ln 2 apart: one occurrence of the first costs 0.4, the second time 0.8.
        (options.presencePenalty, options.frequencyPenalty) = (0, 0.4)
        let row = Storage(copying: [log(2), 0, -9])
        func chosen(_ options: SamplingOptions, _ count: Int) -> [Int32] {
            var sampler = TokenSampler(options, seed: 1, stream: 0, prompt: [0, 0, 0])
            return (0..<count).map { _ in sampler.choose(row, row: 0, width: 3, greedy: 0).id }
        }
        #expect(chosen(options, 5) == [0, 0, 1, 0, 1])
        // Presence counts once, however often.
        (options.presencePenalty, options.frequencyPenalty) = (0.8, 0)
        #expect(chosen(options, 4) == [0, 1, 0, 0])
    }

    @Test func `stop tokens are not drawn before the least number of tokens`() {
        for temperature in [0.0, 1] {
            var options = SamplingOptions()
            (options.temperature, options.minTokens, options.stopIDs) = (temperature, 2, [1])
            let row = Storage(copying: [0, 90, 30, 0])
            var sampler = TokenSampler(options, seed: 1, stream: 0, prompt: [], stopIDs: options.stopIDs(of: [2]))
            let drawn = (0..<4).map { _ in sampler.choose(row, row: 0, width: 4, greedy: 1).id }
            #expect(drawn[2...] == [1, 1] && drawn[..<2].allSatisfy { [0, 3].contains($0) }, "\(drawn)")
            options.ignoreEOS = true
            sampler = TokenSampler(options, seed: 1, stream: 0, prompt: [], stopIDs: options.stopIDs(of: [2]))
            #expect((0..<3).map { _ in sampler.choose(row, row: 0, width: 4, greedy: 1).id } == [2, 2, 1])
        }
    }

    @Test(arguments: [.leastNonzeroMagnitude, 1e-300, 1e-45, 1e-40, 1e-38, 1e-30, 1e-6, 1e-5, 1e-3, 100])
    func `temperatures next to nothing and far above draw what can be drawn`(temperature: Double) {
        let edits: [(inout SamplingOptions) -> Void] = [
            { _ in }, { $0.topP = 0.9 }, { $0.minP = 0.1 }, { $0.topK = 3 }, { ($0.topK, $0.topP, $0.minP) = (4, 0.5, 0.01) },
        ]
        for (number, edit) in edits.enumerated() {
            let shares = draws([-3, 80, 79, -80], count: 40) {
                $0.temperature = temperature
                edit(&$0)
            }
            #expect(abs(shares.reduce(0, +) - 1) < 1e-9, "\(number)")
            if temperature < 1e-2 { #expect(shares[1] > 0.99, "\(number)") }
        }
    }

    @Test func `logits that are no numbers end no sampler`() {
        for bad in [Float.nan, .infinity, -.infinity] {
            for logits in [[bad, 1, 2], [1, bad, 0], [bad, bad, bad]] {
                for edit: (inout SamplingOptions) -> Void in [{ _ in }, { $0.topP = 0.5 }, { $0.minP = 0.5 }, { $0.topK = 2 }] {
                    let shares = draws(logits, count: 3, edit)
                    #expect(abs(shares.reduce(0, +) - 1) < 1e-9)
                }
            }
        }
        // Of numbers beside none a number is taken.
        #expect(Sampler.greedy([.nan, 1, 2]) == 2 && Sampler.greedy([3, .nan, 1]) == 0)
    }

    @Test func `the same seed draws the same tokens, another stream others`() {
        var options = SamplingOptions()
        options.temperature = 1
        let row = Storage(copying: (0..<50).map { Float($0 % 7) / 7 })
        func run(_ seed: UInt64, _ stream: UInt64) -> [Int32] {
            var sampler = TokenSampler(options, seed: seed, stream: stream, prompt: [])
            return (0..<20).map { _ in sampler.choose(row, row: 0, width: 50, greedy: 6).id }
        }
        #expect(run(1, 0) == run(1, 0) && run(1, 0) != run(1, 1) && run(1, 0) != run(2, 0))
    }
}
