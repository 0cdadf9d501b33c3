import Foundation
import Random
import Testing

@testable import Evaluation

struct PairedStatisticsTests {
    /// By hand (Python): d = [0.5, −0.25, 1, 0] nats over b = [10, 12, 9, 11] bytes.
    /// D = 1.25/(42·ln 2) = 0.0429374; residuals dᵢ/ln 2 − D·bᵢ; √(4/3·Σ r²)/42 = 0.0406973.
    @Test func `four units give the difference and error worked by hand`() throws {
        let paired = PairedDifference(units: [(2, 2.5, 10), (3, 2.75, 12), (1, 2, 9), (4, 4, 11)])
        #expect(abs(paired.bitsPerByte - 0.042937352407409625) < 1e-15)
        #expect(abs(try #require(paired.standardError) - 0.040697327837778165) < 1e-15)
        #expect(paired.units == 4)
    }

    @Test func `equal models differ by nothing, and one unit has no error`() {
        let same = PairedDifference(units: [(2, 2, 10), (3, 3, 20)])
        #expect(same.bitsPerByte == 0)
        #expect(same.standardError == 0)
        #expect(PairedDifference(units: [(1, 2, 10)]).standardError == nil)
        #expect(PairedDifference(units: []).bitsPerByte == 0)
    }

    @Test func `a difference proportional to the bytes has no error`() throws {
        let paired = PairedDifference(units: [(1, 1 + 10 * M_LN2, 10), (5, 5 + 30 * M_LN2, 30), (2, 2 + 7 * M_LN2, 7)])
        #expect(abs(paired.bitsPerByte - 1) < 1e-12)
        #expect(try #require(paired.standardError) < 1e-12)
    }

    /// Over many drawn samples the standard deviation of the estimate is what the formula says; 2,000 samples leave the
    /// deviation itself uncertain by 1/√4000 ≈ 1.6 %, the formula's bias with 60 units is of the order 1/60.
    @Test func `the error is the spread of the estimate over samples`() {
        var generator = SeededGenerator(seed: 5)
        var estimates: [Double] = []
        var errors = 0.0
        for _ in 0..<2000 {
            let units = (0..<60).map { _ -> (reference: Double, other: Double, bytes: Int) in
                let bytes = 500 + Int(generator.uniform() * 500)
                // What makes a unit hard is common to both and cancels.
                let hard = Double(bytes) * (1 + generator.uniform())
                return (hard, hard + Double(bytes) * 0.1 * generator.uniform(), bytes)
            }
            let paired = PairedDifference(units: units)
            estimates.append(paired.bitsPerByte)
            errors += (paired.standardError ?? 0) / 2000
        }
        let mean = estimates.reduce(0, +) / 2000
        let deviation = (estimates.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 1999).squareRoot()
        #expect(abs(mean - 0.05 / M_LN2) < 1e-3)
        #expect(abs(errors / deviation - 1) < 0.06)
    }

    @Test func `models with one tokenizer are paired window by window`() {
        let a = result([(4, 10), (6, 12)], tokens: [])
        let b = result([(5, 10), (6, 12)], tokens: [])
        #expect(PairedDifference(reference: a, other: b) == PairedDifference(units: [(4, 5, 10), (6, 6, 12)]))
    }

    @Test func `models with two tokenizers are paired by stretches of the text`() throws {
        // Stretches of 8 bytes: [0, 8) and [8, 12); the second model leaves two bytes unscored.
        let a = result([(6, 12)], tokens: [(4, 1), (8, 2), (12, 3)])
        let b = result([(3, 5), (4, 5)], tokens: [(7, 3), (12, 4)])
        let paired = PairedDifference(reference: a, other: b, block: 8)
        #expect(paired.units == 2)
        #expect(abs(paired.bitsPerByte - (b.bitsPerByte - a.bitsPerByte)) < 1e-12)
        // Parts 3/10 − 3/12 = 0.05 and 4/10 − 3/12 = 0.15, of 0.2 with shares 2/3 and 1/3: residuals ∓0.08333.
        #expect(
            abs(try #require(paired.standardError) - (2 * 2 * 0.0833333333333333 * 0.0833333333333333).squareRoot() / M_LN2)
                < 1e-12)
    }

    @Test func `stretches are of 1,024 bytes, and equal ones leave no error`() {
        func every(_ step: Int, _ nll: Float) -> PerplexityResult {
            let ends = stride(from: step, through: 8192, by: step)
            return PerplexityResult(
                windows: [WindowScore(nll: Double(8192 / step) * Double(nll), tokens: 8192 / step, bytes: 8192)],
                tokens: ends.map { ($0, nll) })
        }
        let paired = PairedDifference(reference: every(2, 1), other: every(4, 3))
        #expect(paired.units == 8)
        #expect(abs(paired.bitsPerByte - (8192 / 4 * 3 - 8192 / 2) / (8192 * log(2.0))) < 1e-9)
        #expect((paired.standardError ?? 1) < 1e-9)
    }

    private func result(_ windows: [(nll: Double, bytes: Int)], tokens: [(end: Int, nll: Float)]) -> PerplexityResult {
        PerplexityResult(windows: windows.map { WindowScore(nll: $0.nll, tokens: 2, bytes: $0.bytes) }, tokens: tokens)
    }
}
