import JSON
import TestSupport
import Testing

@testable import Evaluation

@Suite struct PythonRandomTests {
    @Test func `the first sample is Python's, with a list and with a set`() {
        // random.Random(1234).sample(range(100), 3), and the next ones.
        var random = PythonRandom(seed: 1234)
        #expect(random.sample(100, 3) == [99, 56, 14])
        #expect(random.sample(100, 3) == [0, 11, 74])
        // random.Random(7).sample(range(8), 8), then of 1000, 6.
        var other = PythonRandom(seed: 7)
        #expect(other.sample(8, 8) == [5, 1, 3, 0, 4, 2, 7, 6])
        #expect(other.sample(1000, 6) == [596, 59, 931, 519, 219, 38])
        #expect(other.sample(3, 0) == [])
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `draws of few-shot examples are those of lm-evaluation-harness`() throws {
        let draws = try OfficialScoreTests.value("fewshot-draws.json")
        for (key, count, size) in [("pool7473_n5", 7473, 5), ("pool100_n3", 100, 3)] {
            let expected = try #require(draws[key]?.array?.map { $0.array?.compactMap(\.int) })
            #expect(expected.count == 20)
            var random = PythonRandom(seed: 1234)
            for draw in expected { #expect(random.sample(count, size) == draw) }
        }
    }
}
