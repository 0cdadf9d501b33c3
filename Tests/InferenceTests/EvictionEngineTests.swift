import Models
import TestSupport
import Testing

@testable import Inference

/// Evictions in the serving engine.
@Suite struct EvictionEngineTests {
    /// A batch-invariant engine under `retention`, with `pages` pages, whose model has 256 positions.
    private func fixture(
        _ retention: any Retention, pages: Int, _ change: (inout EngineOptions) -> Void
    ) throws -> EngineFixture {
        try EngineFixture(
            pages: pages, deviation: 0.3,
            { options in
                (options.batchInvariant, options.retention) = (true, retention)
                change(&options)
            }, configure: { config, _ in config.maxSequence = 256 })
    }

    /// The tokens that six requests get, each of 30 and some with a retention of their own, from a batch-invariant engine.
    private func outputs(
        _ retention: any Retention, pages: Int = 400, own: [(any Retention)?] = [],
        _ change: (inout EngineOptions) -> Void = { _ in }
    ) async throws -> (ids: [[Int32]], statistics: EngineStatistics) {
        let fixture = try fixture(retention, pages: pages, change)
        var generations: [Generation] = []
        // The third and the last begin alike.
        for (index, length) in [5, 40, 70, 33, 9, 70].enumerated() {
            var request = fixture.request(EngineFixture.prompt(length, index == 5 ? 2 : index), 30)
            if index < own.count { request.retention = own[index] }
            generations.append(try await fixture.engine.submit(request))
        }
        await fixture.finish()
        var ids: [[Int32]] = []
        for generation in generations { ids.append(await Answer(generation).ids) }
        return (ids, await fixture.engine.statistics)
    }

    private let scratch = ScratchDirectory()

    private func retention(_ policy: String) throws -> any Retention {
        let found = try #require(EvictionPolicies.all.first { $0.name == policy })
        var settings = EvictionSettings(found, budget: .tokens(24))
        if ["snapkv", "pyramidkv", "adakv"].contains(policy) { settings.window = 8 }
        if found.options.contains(.interval) { settings.interval = 8 }
        if let found = found as? any HeadPolicy { try settings.rank(found, TinyModel.config(), in: scratch) }
        return try settings.retention()
    }

    @Test(arguments: EvictionPolicies.names)
    func `tokens do not depend on chunks, sharing, preemption or tiers`(policy: String) async throws {
        let retention = try retention(policy)
        let expected = try await outputs(retention).ids
        #expect(try await expected != outputs(FullRetention()).ids)
        #expect(try await expected == outputs(retention) { $0.limits.tokensPerStep = 7 }.ids)
        #expect(try await expected == outputs(retention) { $0.prefixSharing = false }.ids)
        let scratch = ScratchDirectory()
        let tier = try FileTier(directory: scratch.path)
        for way in EngineOptions.Preemption.allCases {
            // Without a budget a prompt's pages are reserved twice.
            let pages = EvictionPolicies.namesWithoutBudget.contains(policy) ? 130 : 70
            let tight = try await outputs(retention, pages: pages) { ($0.tier, $0.preemption) = (tier, way) }
            #expect(tight.ids == expected, "\(way)")
            #expect(tight.statistics.swapped + tight.statistics.recomputed > 0)
        }
    }

    @Test func `requests with evictions of their own get what an engine of that eviction gives`() async throws {
        let policies = [nil, "streaming-llm", "snapkv", "h2o", "expected-attention", "tova"]
        var expected: [[Int32]] = []
        for (index, policy) in policies.enumerated() {
            let alone = try policy.map { try retention($0) } ?? FullRetention()
            expected.append(try await outputs(alone).ids[index])
        }
        let scratch = ScratchDirectory()
        let tier = try FileTier(directory: scratch.path)
        for way in EngineOptions.Preemption.allCases {
            let mixed = try await outputs(FullRetention(), pages: 90, own: policies.map { try $0.map { try retention($0) } }) {
                ($0.tier, $0.preemption) = (tier, way)
            }
            #expect(mixed.ids == expected, "\(way)")
        }
        // And an engine that evicts keeps all of a request that asks for it.
        let full = try await outputs(retention("tova"), own: policies.map { _ in FullRetention() })
        #expect(try await full.ids == outputs(FullRetention()).ids)
    }

    /// The answers to four questions about each of two contexts, all behind the same beginning, by an engine that shares contexts or not.
    private func answers(
        _ retention: any Retention, shares: Bool, pages: Int = 400, _ change: (inout EngineOptions) -> Void = { _ in }
    ) async throws -> (answers: [Answer], statistics: EngineStatistics) {
        let fixture = try fixture(retention, pages: pages, change)
        var generations: [Generation] = []
        for question in 0..<4 {
            for context in 0..<2 {
                let prompt = EngineFixture.prompt(60, context) + EngineFixture.prompt(3 + question, 7 + question)
                generations.append(
                    try await fixture.engine.submit(
                        fixture.request(prompt, 12) { ($0.contextTokens, $0.sharesContext) = (60, shares) }))
            }
        }
        await fixture.finish()
        var answers: [Answer] = []
        for generation in generations { answers.append(await Answer(generation)) }
        let statistics = await fixture.engine.statistics
        await fixture.engine.dropPrefixes()
        let left = await fixture.engine.statistics
        #expect(left.freePages == left.pages && left.idlePages == 0)
        return (answers, statistics)
    }

    @Test(arguments: EvictionPolicies.names)
    func `questions about one context get the same answers from one compression of it`(policy: String) async throws {
        let retention = try retention(policy)
        let alone = try await answers(retention, shares: false)
        let shared = try await answers(retention, shares: true)
        #expect(shared.answers.map(\.ids) == alone.answers.map(\.ids))
        #expect(alone.answers.allSatisfy { $0.cached < 60 && $0.compressSeconds > 0 })
        // The first question about each context is the only one that waits for its compression.
        #expect(shared.answers.map(\.cached) == [0, 0] + Array(repeating: 60, count: 6))
        #expect(shared.answers.map { $0.compressSeconds > 0 } == [true, true] + Array(repeating: false, count: 6))
        #expect(shared.statistics.idlePages > 0 && shared.statistics.prefixHits == 6 * 60)
        for change: (inout EngineOptions) -> Void in [
            { $0.limits.tokensPerStep = 7 }, { $0.prefixSharing = false }, { $0.limits.running = 1 },
        ] {
            #expect(try await answers(retention, shares: true, change).answers.map(\.ids) == alone.answers.map(\.ids))
        }
        // Contexts are dropped where their pages are needed.
        let pages = EvictionPolicies.namesWithoutBudget.contains(policy) ? 110 : 60
        let tight = try await answers(retention, shares: true, pages: pages)
        #expect(tight.answers.map(\.ids) == alone.answers.map(\.ids))
    }

    @Test func `a retention that the model has no layer for is refused with the request`() async throws {
        let fixture = try EngineFixture(configure: { config, _ in
            try HybridAttention(window: 20, fullEvery: 0, sinks: 3).configure(&config)
        })
        var request = fixture.request([1, 2, 3], 3)
        request.retention = try retention("knorm")
        await #expect(
            throws: InferenceError.policyWithoutLayers(
                policy: "knorm", reason: "every layer of the model has a sliding window already")
        ) { try await fixture.engine.submit(request) }
    }

    @Test func `a prompt that leaves no positions for its repetition is refused with the request`() async throws {
        // A chunk has 32 tokens, before which are up to 64 bytes of an instruction, 8 tokens and a newline.
        let fixture = try EngineFixture { $0.retention = try self.retention("kvzip") }
        let error = InferenceError.noRoomToRepeat(policy: "kvzip", prompt: 70, positions: 128)
        await #expect(throws: error) { try await fixture.engine.submit(fixture.request(EngineFixture.prompt(70), 3)) }
        #expect(
            error.description
                == "'kvzip' has the model repeat a prompt behind it, and 70 tokens leave too few of the model's 128 positions; use a "
                + "shorter prompt or another --evict")
        var request = fixture.request(EngineFixture.prompt(70), 3)
        request.retention = FullRetention()
        _ = try await fixture.engine.submit(request)
        // A prompt within the budget is not repeated.
        _ = try await fixture.engine.submit(fixture.request(EngineFixture.prompt(24), 3))
        await fixture.finish()
    }

    @Test func `a prompt's beginning is taken from the prefix cache up to the first observed query`() async throws {
        // Blocks of four tokens, of the prompt of 70 that comes twice: up to the prompt's end, less the window, nothing. A page of
        // one head alone has eight.
        for (policy, hits) in [("knorm", 68), ("kvzip", 64), ("snapkv", 60), ("h2o", 0)] {
            let found = try await outputs(retention(policy)).statistics.prefixHits
            #expect(found == hits, "\(policy): \(found)")
        }
    }
}
