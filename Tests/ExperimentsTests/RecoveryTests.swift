import Conversion
import Foundation
import Random
import TestSupport
import Testing

@testable import Experiments

@Suite struct RecoveryTests {
    /// A diagnosis of one layer that lost `percent` of its cross-entropy.
    private func diagnosis(percent: Double, similarity: Double = 0.5, entropy: Double = 0.1) throws -> Diagnosis {
        let json = """
            {"method": "mean", "tokens": 100, "parentCrossEntropy": 2, "childCrossEntropy": \(2 * (1 + percent / 100)), "layers": [
              {"layer": 0, "from": 4, "to": 2, "keySimilarity": {"raw": 0, "aligned": \(similarity)},
               "valueSimilarity": {"raw": 0, "aligned": \(similarity)}, "keyNormOfMean": 0.7, "valueNormOfMean": 0.7,
               "parentEntropy": 1, "childEntropy": \(1 + entropy)}]}
            """
        return try JSONDecoder().decode(Diagnosis.self, from: Data(json.utf8))
    }

    private func example(_ percent: Double, tokens: Double, parent: Int = 0) throws -> RecoveryExample {
        // Even fall from the conversion to 1 % at twice the tokens at which it is within 5 %, so that 5 % is reached on the way.
        let start = 1 + percent / 100
        let rate = (start - 1.05) / tokens
        return RecoveryExample(
            name: "x", parent: "\(parent)", diagnosis: try diagnosis(percent: percent), parentBitsPerByte: 1,
            curves: [
                (1...4).map {
                    RecoveryExample.Look(tokens: tokens * Double($0) / 2, bitsPerByte: start - rate * tokens * Double($0) / 2)
                }
            ])
    }

    @Test func `tokens to recovery are read off the curve between its looks`() throws {
        var example = try example(25, tokens: 1000)
        // From 1.25 at 0 evenly to 1.05 at 1000: 1.15 at 500, 1.10 at 750.
        #expect(abs((example.tokens(within: 5) ?? 0) - 1000) < 1e-6)
        #expect(abs((example.tokens(within: 10) ?? 0) - 750) < 1e-6)
        #expect(example.tokens(within: 25) == 0)
        // Held-out text says more than the text that a method was fitted to.
        var fitted = example
        fitted.startPercent = 45
        // From 1.45 at 0 evenly to 1.15 at 500, which is the first look.
        #expect(abs((fitted.tokens(within: 25) ?? 0) - 500 * 20 / 30) < 1e-6)
        example.curves = [example.curves[0].dropLast(3) + []]
        #expect(example.tokens(within: 5) == nil)
        example.curves.append([.init(tokens: 300, bitsPerByte: 1.04)])
        #expect((example.tokens(within: 5) ?? 0) < 300)
    }

    @Test func `a ridge regression holds its weight back by λ`() {
        // x = −1, 1 and y = −3, 3: z = x, ȳ = 0, w = Σ z·y / (Σ z² + λ) = 6 / (2 + 1) = 2.
        let model = RidgeRegression([([-1], -3), ([1], 3)])
        #expect(abs(model.prediction([1]) - 2) < 1e-12 && abs(model.prediction([0])) < 1e-12)
        // Nothing held back: the line itself, in two features of which one never changes.
        let free = RidgeRegression([([0, 7], 1), ([1, 7], 3), ([2, 7], 5)], lambda: 1e-9)
        #expect(abs(free.prediction([3, 7]) - 7) < 1e-6)
    }

    @Test func `a law that holds over parents beats the mean, noise does not, few runs are not judged`() throws {
        var generator = SeededGenerator(seed: 5)
        func noise() -> Double { Double(generator.next() >> 11) / Double(1 << 53) - 0.5 }
        // Tokens grow as the square of what was lost.
        let lawful = try (0..<24).map { index in
            let percent = 10 + Double(index % 8) * 12
            return try example(percent, tokens: 10 * percent * percent * exp(0.2 * noise()), parent: index / 8)
        }
        let judgement = RecoveryJudgement(lawful, within: 5)
        #expect(judgement.examples == 24 && judgement.parents == 3 && judgement.unreached == 0)
        #expect(judgement.beatsMean == true && judgement.verdict.hasPrefix("better than the mean"))
        let prediction = RecoveryPrediction(try diagnosis(percent: 50), within: 5, examples: lawful)
        let tokens = try #require(prediction.tokens)
        #expect(tokens > 10_000 && tokens < 60_000)
        #expect((prediction.low ?? 0) < tokens && tokens < (prediction.high ?? 0))
        #expect(prediction.text.contains("by 24 conversions of 3 parents") && prediction.text.contains("better than the mean"))

        let random = try (0..<24).map { index in
            try example(10 + Double(index % 8) * 12, tokens: 20_000 * exp(3 * noise()), parent: index / 8)
        }
        #expect(RecoveryJudgement(random, within: 5).beatsMean == false)
        #expect(RecoveryPrediction(try diagnosis(percent: 50), within: 5, examples: random).text.contains("going by the mean"))

        let few = RecoveryJudgement(Array(lawful.prefix(16)), within: 5)
        #expect(few.beatsMean == nil && few.verdict.hasPrefix("cannot be judged: 16 conversions of 2 parents"))
        #expect(RecoveryPrediction(try diagnosis(percent: 50), within: 5, examples: []).text.contains("too few earlier runs"))
        #expect(RecoveryPrediction(try diagnosis(percent: 4), within: 5, examples: []).text.contains("it is there already"))
    }

    @Test func `Student's quantiles join the normal one`() {
        #expect(StudentT.quantile975(2) == 4.303)
        #expect(abs(StudentT.quantile975(31) - 2.040) < 0.005 && abs(StudentT.quantile975(100_000) - 1.96) < 0.001)
    }
}
