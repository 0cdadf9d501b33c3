import Random
import Testing

@testable import Inference

@Suite struct SamplerTests {
    private let logits: [Float] = [0, 2, 1, 2, -1]

    private func drawn(_ sampler: Sampler, count: Int = 4000) -> [Int32: Double] {
        var random = SeededGenerator(seed: 5)
        var counts: [Int32: Double] = [:]
        for _ in 0..<count { counts[sampler.sample(logits, using: &random), default: 0] += 1 / Double(count) }
        return counts
    }

    @Test func `greedy takes the lowest of equal ids`() {
        #expect(Sampler.greedy(logits) == 1)
        #expect(drawn(Sampler()).keys.sorted() == [1])
    }

    @Test func `draws follow the softmax at the temperature`() {
        // e^(l/2): 1, e, e^½, e, e^-½ over their sum 8.69.
        let shares = drawn(Sampler(temperature: 2), count: 40_000)
        for (id, expected) in [(0, 0.1150), (1, 0.3127), (2, 0.1897), (3, 0.3127), (4, 0.0698)] {
            #expect(abs((shares[Int32(id)] ?? 0) - expected) < 0.02, "\(id)")
        }
    }

    @Test func `top-k and top-p keep the likeliest only`() {
        #expect(drawn(Sampler(temperature: 1, topK: 3)).keys.sorted() == [1, 2, 3])
        #expect(drawn(Sampler(temperature: 1, topK: 1)).keys.sorted() == [1])
        // Shares 0.39, 0.39, 0.14, …: two reach 0.75.
        #expect(drawn(Sampler(temperature: 1, topP: 0.75)).keys.sorted() == [1, 3])
        #expect(drawn(Sampler(temperature: 1, topP: 1)).keys.sorted() == [0, 1, 2, 3, 4])
    }
}
