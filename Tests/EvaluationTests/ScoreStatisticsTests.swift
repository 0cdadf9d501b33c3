import Evaluation
import Testing

@Suite struct ScoreStatisticsTests {
    @Test(arguments: [(10, 10, 0.72246, 1.0), (25, 50, 0.36645, 0.63355), (0, 3, 0.0, 0.56150), (45, 50, 0.78640, 0.95652)])
    func `intervals are Wilson's`(right: Int, n: Int, low: Double, high: Double) {
        let interval = WilsonInterval((0..<n).map { $0 < right ? 1 : 0 })
        #expect(interval.n == n && interval.mean == Double(right) / Double(n))
        #expect(abs(interval.low - low) < 1e-5 && abs(interval.high - high) < 1e-5)
    }

    @Test func `differences are paired over examples`() {
        // Differences 0, −1, −1, 1: mean −¼, squares ¹⁄₁₆ + 2 · ⁹⁄₁₆ + ²⁵⁄₁₆ = ⁴⁴⁄₁₆, over 3 and 4.
        let paired = PairedScores([(1, 1), (1, 0), (1, 0), (0, 1)])
        #expect(paired.n == 4 && paired.difference == -0.25 && paired.lost == 2 && paired.gained == 1)
        #expect(abs((paired.standardError ?? 0) - (44.0 / 16 / 12).squareRoot()) < 1e-15)
        #expect(PairedScores([(1, 0.5)]).standardError == nil)
    }
}
