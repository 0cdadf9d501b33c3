import Foundation
import Models
import TestSupport
import Testing

@testable import Inference

/// Engines whose pools are too small for all that is asked of them.
@Suite struct PreemptionTests {
    /// Requests of `lengths` for `tokens` tokens each, of which not all find room at once: they end within so many steps as alone.
    private func run(
        _ fixture: EngineFixture, lengths: Range<Int>, tokens: Int, within steps: Int = 20_000
    ) async throws -> EngineStatistics {
        var running: [([Int32], Generation)] = []
        for (index, length) in lengths.enumerated() {
            let prompt = EngineFixture.prompt(length, index)
            running.append((prompt, try await fixture.engine.submit(fixture.request(prompt, tokens))))
        }
        await fixture.finish(within: steps)
        for (prompt, generation) in running { #expect(await Answer(generation).ids == fixture.expected(prompt, tokens)) }
        await fixture.engine.dropPrefixes()
        return await fixture.engine.statistics
    }

    @Test func `a sequence that cannot be swapped out is computed again`() async throws {
        let scratch = ScratchDirectory()
        let directory = scratch["swap"]
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: false)
        let fixture = try EngineFixture(kvHeads: [4], pages: 60) {
            ($0.preemption, $0.tier, $0.prefixSharing) = (.swap, try FileTier(directory: directory), false)
        }
        try FileManager.default.removeItem(atPath: directory)
        let statistics = try await run(fixture, lengths: 3..<8, tokens: 30)
        #expect(statistics.recomputed > 0 && statistics.swapped == 0 && statistics.freePages == 60)
    }

    @Test(arguments: EngineOptions.Preemption.allCases) func `preempted sequences go on with the same tokens`(
        way: EngineOptions.Preemption
    ) async throws {
        let scratch = ScratchDirectory()
        // Two tokens a page and layer, two layers: 33 tokens and more take 34 pages and more, which five have not.
        let fixture = try EngineFixture(kvHeads: [4], pages: 60) {
            $0.preemption = way
            $0.tier = try FileTier(directory: scratch.path)
            $0.prefixSharing = false
        }
        let statistics = try await run(fixture, lengths: 3..<8, tokens: 30)
        #expect((way == .swap ? statistics.swapped : statistics.recomputed) > 0)
        #expect((way == .swap ? statistics.recomputed : statistics.swapped) == 0)
        #expect(statistics.freePages == 60 && scratch.names.isEmpty)
    }

    @Test func `a prompt as long as a sequence can be is served, and resumes after preemption`() async throws {
        // Two tokens a page and layer, two layers: twenty tokens fill the pool.
        let fixture = try EngineFixture(kvHeads: [4], pages: 20) { $0.limits.tokensPerStep = 16 }
        #expect(fixture.engine.capacity(of: 0) == 20)
        let whole = EngineFixture.prompt(20)
        let generation = try await fixture.engine.submit(fixture.request(whole, 5))
        await fixture.finish(within: 20)
        #expect(await Answer(generation).ids == fixture.expected(whole, 1))
        // Both outputs write the twentieth token into the page they share; there is none for a copy.
        let shared = EngineFixture.prompt(19, 1)
        let outputs = try await fixture.engine.submit(fixture.request(shared, 9) { $0.count = 2 })
        await fixture.finish(within: 40)
        let answer = await Answer(outputs)
        for index in 0..<2 { #expect(answer.tokens[index]?.map(\.id) == fixture.expected(shared, 2)) }
        #expect(await fixture.engine.statistics.recomputed == 1)
    }

    @Test func `a windowed model takes prompts longer than the pool`() async throws {
        // Four tokens a page and layer: 15 tokens behind and 8 to come touch at most 7 pages of each of two layers.
        let fixture = try EngineFixture(pages: 14) {
            $0.limits.tokensPerStep = 8
        } configure: { config, _ in
            config.maxSequence = 512
            try HybridAttention(window: 16, fullEvery: 0).configure(&config)
        }
        #expect(fixture.engine.capacity(of: 0) == 512)
        let statistics = try await run(fixture, lengths: 300..<303, tokens: 9, within: 1000)
        #expect(statistics.freePages == 14)
    }

    @Test(arguments: EngineOptions.Preemption.allCases) func `preempted windowed sequences come back into a tight pool`(
        way: EngineOptions.Preemption
    ) async throws {
        let scratch = ScratchDirectory()
        // One layer's pages stay, the other's are freed behind the window: 110 tokens hold 28 and at most 5.
        let fixture = try EngineFixture(pages: 40) {
            ($0.preemption, $0.tier, $0.limits.tokensPerStep) = (way, try FileTier(directory: scratch.path), 8)
        } configure: { config, _ in
            try HybridAttention(window: 12, fullEvery: 2).configure(&config)
        }
        let statistics = try await run(fixture, lengths: 20..<23, tokens: 90, within: 2000)
        #expect((way == .swap ? statistics.swapped : statistics.recomputed) > 0 && statistics.freePages == 40)
    }
}
