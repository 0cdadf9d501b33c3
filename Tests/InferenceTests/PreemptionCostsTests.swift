import TestSupport
import Testing

@testable import Inference

@Suite struct PreemptionCostsTests {
    @Test func `the cheaper way is taken, by what writing, reading and computing took`() {
        var costs = PreemptionCosts()
        #expect(costs.choice(tokens: 10, pages: 20) == .swap)
        // Nothing to compute again: the tree has it all.
        #expect(costs.choice(tokens: 0, pages: 20) == .recompute)
        // A disk that is slow to read from alone.
        for _ in 0..<40 { costs.read(pages: 10, seconds: 1) }
        #expect(abs(costs.readSeconds - 0.1) < 1e-4 && costs.writeSeconds == 2e-5)
        #expect(costs.choice(tokens: 10, pages: 20) == .recompute)
        // A model that is slower still.
        for _ in 0..<60 { costs.ran(tokens: 100, seconds: 100) }
        #expect(costs.choice(tokens: 10, pages: 20) == .swap)
        for _ in 0..<60 { costs.wrote(pages: 1, seconds: 9) }
        #expect(costs.choice(tokens: 10, pages: 20) == .recompute)
        let before = costs.tokenSeconds
        costs.ran(tokens: 63, seconds: 1000)
        costs.wrote(pages: 0, seconds: 1)
        #expect(costs.tokenSeconds == before)
    }

    @Test func `a directory that cannot be swapped to is said at once`() throws {
        let path = ScratchDirectory().path + "/none"
        #expect(throws: InferenceError.swap(path: path, code: 2)) { try FileTier(directory: path) }
    }

    @Test func `a pool too small for one token is refused with numbers`() throws {
        #expect(throws: InferenceError.modelTooLarge(model: "m0", pages: 2, available: 1)) { try EngineFixture(pages: 1) }
        #expect(
            InferenceError.modelTooLarge(model: "m0", pages: 2, available: 1).description
                == "one token of m0 takes 2 pages, it can have 1; use more --kv-memory or a smaller --page")
    }
}
