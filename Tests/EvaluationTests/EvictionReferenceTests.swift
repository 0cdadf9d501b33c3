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
            var seed: UInt64?
            /// Positions by layer and KV head, ascending, and how far the decisions are from another, relatively.
            var retained: [[[Int32]]]
            var margin: Double
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
    func `scissorhands and keyformer retain what their formulas do, at the prompt's end and behind it`(name: String) throws {
        let checkpoint = try HuggingFaceFolder.load(SharedData.path("models/\(name)"))
        let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
        let reference = try reference()
        for text in try #require(reference.models[name]) {
            for expected in text.cases {
                var settings = EvictionSettings()
                (settings.policy, settings.budget) = (expected.policy, .tokens(expected.budget))
                (settings.recent, settings.interval) = (expected.recent, expected.interval)
                (settings.window, settings.seed) = (expected.window, expected.seed)
                // Far above the rounding of attention weights in Float32.
                try #require(expected.margin > 5e-6)
                let found = try positions(model, settings.retention(), text.ids, prompt: reference.prompt)
                #expect(found == expected.retained, "\(expected.policy), \(expected.budget) slots")
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
            guard case .heads(let heads) = retention.retained(stream) else { continue }
            #expect(heads == [Array(0..<expected.budget - expected.recent) + Array(100 - expected.recent..<100)])
        }
    }

    /// The positions that each layer and KV head keeps of `ids`.
    private func positions(_ model: ServingModel, _ retention: any Retention, _ ids: [Int32], prompt: Int) throws -> [[[Int32]]] {
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
        return cache.table(of: 0).positions
    }
}
