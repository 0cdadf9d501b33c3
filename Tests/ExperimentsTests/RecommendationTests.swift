import Foundation
import TestSupport
import Testing

@testable import Experiments

/// The cache to ship, of those that were measured.
@Suite struct RecommendationTests {
    private func candidate(_ name: String, bytes: Double, difference: Double, margin: Double? = 0.002) -> Recommendation.Candidate
    {
        Recommendation.Candidate(
            name: name, logicalBytesPerToken: bytes - 8, allocatedBytesPerToken: bytes, bitsPerByte: 2 + difference,
            difference: difference, margin: margin, make: "kvlab train \(name).json", serve: "kvlab serve \(name).h5")
    }

    private func recommendation(_ candidates: [Recommendation.Candidate], within percent: Double = 1) -> Recommendation {
        Recommendation(
            parent: "parent", bitsPerByte: 2, allocatedBytesPerToken: 1024, among: candidates, withinPercent: percent,
            pairing: .windows)
    }

    @Test func `the smallest cache within the limit is recommended, with its interval and commands`() {
        let found = recommendation([
            candidate("a", bytes: 512, difference: 0.004), candidate("b", bytes: 256, difference: 0.018),
            candidate("c", bytes: 128, difference: 0.03), candidate("same", bytes: 1024, difference: -1),
        ])
        #expect(
            found.plain == """
                The smallest cache within 1 % of parent is that of b.
                A token takes 256.0 allocated bytes of cache (248.0 logical) instead of 1024.0, and bits per byte are 0.90 % above the parent's 2.0000 (95 % interval +0.80 to +1.00 %, paired over windows).
                  make it   kvlab train b.json
                  serve it  kvlab serve b.h5
                """)
        #expect(found.isWithin && found.markup.contains("<code>kvlab serve b.h5</code>"))
        // Of equal bytes the better one; a cache as large as the parent's is none.
        let equal = [candidate("a", bytes: 256, difference: 0.01), candidate("b", bytes: 256, difference: -0.01)]
        #expect(recommendation(equal).choice?.name == "b")
        #expect(recommendation(equal).detail.contains("0.50 % below the parent's"))
    }

    @Test func `an interval that has the limit in it says that more would tell`() {
        let wide = recommendation([candidate("a", bytes: 512, difference: 0.018, margin: 0.004)])
        #expect(wide.isWithin && wide.detail.hasSuffix("The interval has 1 % in it: score more text or more seeds to be sure."))
        let near = recommendation([candidate("a", bytes: 512, difference: 0.022, margin: 0.004)])
        #expect(!near.isWithin && near.detail.hasSuffix("to be sure."))
        let once = recommendation([candidate("a", bytes: 512, difference: 0.018, margin: nil)])
        #expect(once.detail.hasSuffix("(measured once, without an interval)."))
    }

    @Test func `where no cache is within the limit the nearest is named, and where none is smaller that is said`() {
        let far = recommendation([candidate("a", bytes: 512, difference: 0.2), candidate("b", bytes: 128, difference: 0.1)])
        #expect(far.headline == "No smaller cache is within 1 % of parent; the nearest is that of b.")
        #expect(!far.isWithin && far.choice?.name == "b")
        #expect(recommendation([candidate("a", bytes: 512, difference: 0.2)], within: 10).isWithin)
        let none = recommendation([candidate("a", bytes: 1024, difference: 0), candidate("b", bytes: 8, difference: .nan)])
        #expect(none.choice == nil && none.plain == "No cache is smaller than that of parent.")
    }

    @Test func `series differ in shape or dashes, not in colour alone`() {
        let looks = (0..<20).map { index in "\(SeriesStyle(index).shape) \(SeriesStyle(index).line.dropFirst(2))" }
        #expect(Set(looks).count == 20)
    }

    @Test func `marks of equal bytes stand on one x`() throws {
        let points = (0..<4).map { index in
            ParetoPlot.Point(
                name: "m\(index)", family: "f\(index)", color: index, bytes: index < 3 ? 64 : 128,
                bitsPerByte: 1.5 - Double(index) / 10)
        }
        let figure = try #require(HTMLReport.image(ParetoPlot(points).figure))
        // A circle has its middle, other shapes the move to their first corner.
        let circle = try #require(figure.firstMatch(of: /<circle cx="([0-9.]+)"/)?.1)
        let square = try #require(figure.firstMatch(of: /<path d="M([0-9.]+) [^"]*Z" class="point c1"/)?.1)
        let (left, right) = (try #require(Double(circle)), try #require(Double(square)))
        #expect(abs(left - (right + 0.9 * 5.5)) < 0.2, "\(left) \(right)")
    }
}
