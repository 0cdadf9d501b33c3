import Foundation
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

    private func gates(
        _ config: ModelConfig, tokens: Int, type: CacheEncoding = .float32, pageBytes: Int = 1024
    ) throws -> [ExactnessGate] {
        let scratch = ScratchDirectory()
        return try ExactnessGates(
            config: config, parameters: TinyModel.parameters(config), encoding: type, pageBytes: pageBytes,
            tokens: (0..<Int32(tokens)).map { $0 * 17 % 61 }, decoded: 20, tier: FileTier(directory: scratch.path)
        ).run()
    }

    @Test(arguments: [1, 2, 4], CacheEncoding.all + CacheEncoding.mixed)
    func `shared prefixes and merged spans are tried where a model allows it`(
        kvHeads: Int, type: CacheEncoding
    ) throws {
        // Widths of 32 where llama.cpp's blocks need them, pages of a block of tokens.
        let headDim = type[0].keys.blockElements == 32 ? 32 : 12
        let found = try gates(
            TinyModel.config(kvHeads: kvHeads, headDim: headDim, maxSequence: 320), tokens: 300, type: type,
            pageBytes: type.blockTokens > 1 ? 2688 : 2048)
        for gate in found {
            #expect(gate.passes && gate.notExercised == nil, "\(gate.name): \(gate.largestDifference)")
            // Only what is stored otherwise may differ by more than rounding in another order, as may what that makes of it.
            let isReordered = ["prefix shared", "one by one", "preempted, rec", "paged, decoded"].contains {
                gate.name.hasPrefix($0)
            }
            let isStored = gate.name.hasPrefix("paged, token") || gate.name.hasPrefix("paged, mean KL")
            #expect(
                gate.tolerance == 1e-3 || gate.name.hasPrefix("blocks, ") && gate.tolerance == 0
                    || type != .float32 && (isReordered && gate.tolerance <= 0.1 || isStored), "\(gate)")
        }
        let shared = try #require(found.first { $0.name.hasPrefix("prefix shared") })
        // Sums in another order: the two-phase kernel has run.
        #expect(shared.largestDifference > 0)
    }

    @Test func `a divergence beyond its bound fails, and is worked out by hand`() {
        // p = (1/2, 1/2), q = (1/4, 3/4): KL(p, q) = (ln 2 + ln 2/3) / 2 = ln(4/3) / 2.
        let (p, q) = ([Float](repeating: 0, count: 2), [0, Float(log(3.0))])
        let bound = log(4.0 / 3) / 2
        let gate = ExactnessGate(name: "a", divergenceOf: q + p, from: p + p, width: 2, bound: bound / 2 + 1e-6)
        // The second row is the same: half of it on average.
        #expect(abs(gate.largestDifference - bound / 2) < 1e-7 && gate.passes)
        #expect(!ExactnessGate(name: "a", divergenceOf: q, from: p, width: 2, bound: bound / 2).passes)
        #expect(!ExactnessGate(name: "a", divergenceOf: [.nan, 0], from: p, width: 2, bound: 1).passes)
    }

    @Test func `vectors that a codec cannot store are refused, naming both sides`() throws {
        let refused = #expect(throws: InferenceError.self) { try gates(TinyModel.config(), tokens: 60, type: .q8) }
        let message = "q8_0 stores blocks of 32 elements, layer 0 caches vectors of 12; use another --kv-dtype"
        #expect(refused?.description == message)
    }

    @Test(arguments: [0, 2]) func `every gate holds for windows behind which prefixes are shared`(fullEvery: Int) throws {
        var config = TinyModel.config(kvHeads: 1, maxSequence: 320)
        try HybridAttention(window: 40, fullEvery: fullEvery, sinks: 3).configure(&config)
        for type in [CacheEncoding.float32, .int8] {
            for gate in try gates(config, tokens: 300, type: type) {
                #expect(gate.passes && gate.notExercised == nil, "\(type.name), \(gate.name): \(gate.largestDifference)")
            }
        }
    }

    @Test func `what a model or its length leaves untried is said`() throws {
        func reasons(_ gates: [ExactnessGate]) -> [String] { gates.compactMap(\.notExercised) }
        let short = try gates(TinyModel.config(), tokens: 60)
        #expect(
            reasons(short) == [
                "64 tokens are shared from on, blocks of 5 leave 35 of a prompt of 40", "a span has 256 tokens, the sequence 60",
            ])
    }

    @Test func `pages that cannot be are refused before anything is multiplied with them`() {
        for bytes in [0, -64, 100, 2 << 30, 9_000_000_000_000_000_000] {
            #expect(throws: InferenceError.pageSize(bytes)) {
                try gates(TinyModel.config(), tokens: 60, pageBytes: bytes)
            }
            #expect(throws: InferenceError.pageSize(bytes)) { try PageStore(bytes: 1 << 20, pageBytes: bytes) }
        }
    }
}
