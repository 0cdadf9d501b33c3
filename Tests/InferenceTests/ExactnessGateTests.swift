import Kernels
import Models
import TestSupport
import Testing

@testable import Inference

@Suite struct ExactnessGateTests {
    @Test func `two logits that are each off by the tolerance may change places`() {
        // 1.00 and 0.85 become 0.92 and 0.93: each is off by 0.08, what the reference has the first ahead by is 0.15.
        let turned = ExactnessGate(name: "a", [0.92, 0.93, 0], [1, 0.85, 0], width: 3, tolerance: 0.1)
        #expect(turned.passes && abs(turned.largestDifference - 0.08) < 1e-6)
        // A lead of 0.25 is more than both can lose.
        let lost = ExactnessGate(name: "b", [0.7, 0.8, 0], [1, 0.75, 0], width: 3, tolerance: 0.1)
        #expect(lost.greedyDifferences == 1 && !lost.passes)
        #expect(!ExactnessGate(name: "c", [.nan, 0], [1, 0], width: 2, tolerance: 0.1).passes)
    }
}
