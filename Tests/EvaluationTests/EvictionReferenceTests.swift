import Checkpoints
import Foundation
import Inference
import Kernels
import Models
import TestSupport
import Testing

/// Policies that kvpress lacks, beside a Float64 forward pass of the papers' formulas (`Fixtures/make_evictions.py`).
@Suite(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)")) struct EvictionReferenceTests {
    private struct Reference: Decodable {
        struct Case: Decodable {
            var policy: String
            var budget: Int, recent: Int, interval: Int
            var window: Int?
            var merge: String?
            var seed: UInt64?
            /// Positions by layer and KV head, ascending, and how far the decisions are from another, relatively.
            var retained: [[[Int32]]]
            var margin: Double
            /// The sum of each kept slot's value, where values are merged.
            var values: [[[Float]]]?
        }
        struct Text: Decodable {
            var ids: [Int32]
            var cases: [Case]
        }
        var prompt: Int
        var models: [String: [Text]]
    }

    private func reference() throws -> Reference {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        return try JSONDecoder().decode(
            Reference.self, from: Data(contentsOf: folder.appendingPathComponent("Fixtures/evictions.json")))
    }

    @Test(arguments: ["tinystories-656k", "tinystories-656k-mha8"])
    func `policies retain, and merges store, what their formulas do, at the prompt's end and behind it`(name: String) throws {
        let checkpoint = try HuggingFaceFolder.load(SharedData.path("models/\(name)"))
        let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
        let reference = try reference()
        for text in try #require(reference.models[name]) {
            for expected in text.cases {
                var settings = EvictionSettings()
                (settings.policy, settings.budget) = (expected.policy, .tokens(expected.budget))
                (settings.recent, settings.interval) = (expected.recent, expected.interval)
                (settings.window, settings.merge, settings.seed) = (expected.window, expected.merge, expected.seed)
                // Far above the rounding of attention weights in Float32.
                try #require(expected.margin > 5e-6)
                let cache = try cache(model, settings.retention(), text.ids, prompt: reference.prompt)
                let found = cache.table(of: 0).positions
                #expect(found == expected.retained, "\(expected.policy), \(expected.budget) slots")
                guard let values = expected.values, found == expected.retained else { continue }
                for (layer, heads) in values.enumerated() {
                    for (head, sums) in heads.enumerated() {
                        let stored = cache.store.memory.vectors(
                            cache.layouts[layer], .value, head: head, slots: sums.count, of: cache.table(of: 0).pages[layer])
                        let dim = stored.count / sums.count
                        let worst = sums.indices.reduce(Float(0)) { worst, slot in
                            max(worst, abs(stored[slot * dim..<(slot + 1) * dim].reduce(0, +) - sums[slot]))
                        }
                        #expect(worst < 1e-4, "\(expected.policy), layer \(layer), head \(head): \(worst)")
                    }
                }
            }
        }
    }

    @Test func `the defaults of the fixture's first cases are the policies' own`() throws {
        for (index, interval) in [(0, 64), (2, EvictionRetention.interval)] {
            let expected = try #require(try reference().models["tinystories-656k"]?.first?.cases[index])
            var settings = EvictionSettings()
            (settings.policy, settings.budget) = (expected.policy, .tokens(expected.budget))
            let retention = try settings.retention()
            #expect(retention.nextDecision(after: 100, prompt: 100) == 100 + interval)
            var stream = StreamState(tokens: 100, prompt: 100, kvHeads: 1, slots: 100, positions: [], mass: [])
            // All other slots tie, and the oldest are kept.
            stream.mass = [[Float](repeating: 1, count: 100)]
            stream.weighed = stream.mass
            guard case .heads(let heads) = retention.retained(stream) else { continue }
            #expect(heads == [Array(0..<expected.budget - expected.recent) + Array(100 - expected.recent..<100)])
        }
    }

    /// What is held of `ids` behind the last of them.
    private func cache(_ model: ServingModel, _ retention: any Retention, _ ids: [Int32], prompt: Int) throws -> PagedKVCache {
        var cache = try PagedKVCache(
            config: model.config, retention: retention, pageBytes: 4096, tokens: ids.count, chunk: prompt)
        cache.add(0)
        cache.setPromptLength(0, prompt)
        while cache.length(of: 0) < ids.count {
            let start = cache.length(of: 0)
            let end = min(start < prompt ? prompt : ids.count, start + (cache.tokensToDecision(0) ?? ids.count))
            _ = model.logits(
                RaggedBatch(sequences: [0], counts: [end - start], tokens: Array(ids[start..<end])), cache: &cache)
        }
        return cache
    }
}
