import Foundation
import Random
import Testing

@testable import Evaluation

@Suite struct PairedDifferenceTests {
    @Test func `two units by hand`() throws {
        // d = (1, 3)·ln 2 nats over (2, 2) bytes: D = 4/4 = 1 bit per byte; residuals 1 − 2 and 3 − 2:
        // √(2/1 · (1 + 1)) / 4 = 0.5.
        let ln2 = log(2.0)
        let difference = PairedDifference(units: [(0, ln2, 2), (ln2, 4 * ln2, 2)])
        #expect(abs(difference.bitsPerByte - 1) < 1e-12)
        #expect(abs(try #require(difference.standardError) - 0.5) < 1e-12)
    }

    @Test func `the standard error is the spread over repeated samples`() throws {
        var random = SeededGenerator(seed: 3)
        var differences: [Double] = []
        var errors: [Double] = []
        for _ in 0..<400 {
            let units = (0..<60).map { _ -> (reference: Double, other: Double, bytes: Int) in
                let bytes = Int.random(in: 200...1200, using: &random)
                let hard = Double(bytes) * (1 + Double(random.normals(1)[0]) * 0.3)
                return (hard, hard + Double(bytes) * (0.02 + 0.05 * Double(random.normals(1)[0])), bytes)
            }
            let paired = PairedDifference(units: units)
            differences.append(paired.bitsPerByte)
            errors.append(try #require(paired.standardError))
        }
        let mean = differences.reduce(0, +) / 400
        let spread = (differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 399).squareRoot()
        // 400 repeats give the spread to some 4 %.
        #expect(abs(errors.reduce(0, +) / 400 / spread - 1) < 0.12)
    }

    @Test func `different windows are paired by stretches of text`() {
        func result(_ step: Int, _ nll: Float) -> PerplexityResult {
            let ends = stride(from: step, through: 8192, by: step)
            return PerplexityResult(
                windows: [WindowScore(nll: ends.reduce(0) { sum, _ in sum + Double(nll) }, tokens: 8192 / step, bytes: 8192)],
                tokens: ends.map { ($0, nll) })
        }
        let paired = PairedDifference(reference: result(2, 1), other: result(4, 3))
        #expect(paired.units == 8)
        #expect(abs(paired.bitsPerByte - (8192 / 4 * 3 - 8192 / 2) / (8192 * log(2.0))) < 1e-9)
        #expect((paired.standardError ?? 1) < 1e-9)
    }
}
