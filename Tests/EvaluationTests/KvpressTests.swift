import Checkpoints
import Foundation
import Kernels
import Models
import TestSupport
import Testing
import Text

@testable import Evaluation
@testable import Inference

/// Eviction beside kvpress 0.5.5 on a real checkpoint, in GQA and MHA form: what each layer and head retains of three texts, and
/// what that does to the predictions behind them.
@Suite(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)")) struct KvpressTests {
    /// The figures of one checkpoint.
    private struct Reference: Decodable {
        struct Press: Decodable {
            /// Positions by layer and KV head, ascending.
            var retained: [[[Int32]]]?
            var nll: Double?
            var kl: Double?
        }
        struct Text: Decodable {
            var offset: Int
            var context: Int
            var continuation: Int
            var full_nll: Double
            var presses: [String: Press]
        }
        var texts: [Text]
    }

    private static let models = ["tinystories-656k", "tinystories-656k-mha8"]

    /// The settings of kvpress's run, by the names of its presses, behind which `+ada` stands where the heads of a layer divide their
    /// budgets.
    private func settings(_ press: String) throws -> EvictionSettings {
        let parts = press.split(separator: "@")
        let policy = parts[0].split(separator: "+")
        var settings = EvictionSettings()
        settings.policy = String(policy[0])
        if policy.contains("ada") { settings.allocation = .ada }
        settings.budget = .share(100 * (1 - (try #require(Double(parts[1])))))
        switch policy[0] {
        case "snapkv", "pyramidkv", "adakv": (settings.window, settings.pool) = (16, .average(5))
        case "expected-attention": (settings.sinks, settings.future) = (4, 64)
        default: break
        }
        return settings
    }

    /// The retention of kvpress's run; `+64` stands behind the name where chunks of 64 tokens are reconstructed.
    private func retention(_ press: String, _ tokenizer: any Tokenizer) throws -> any Retention {
        let settings = try settings(press)
        guard press.contains("+64") else { return try settings.retention().instructed(by: tokenizer) }
        return try EvictionRetention(
            KVzip(reconstructedChunk: 64), budget: #require(settings.budget), settings: settings
        ).instructed(by: tokenizer)
    }

    private func reference(_ name: String) throws -> Reference {
        let data = try #require(FileManager.default.contents(atPath: SharedData.path("compression/kvpress-\(name).json")))
        return try JSONDecoder().decode(Reference.self, from: data)
    }

    private func ids(_ text: Reference.Text, _ tokenizer: any Tokenizer) throws -> [Int32] {
        let all = try #require(FileManager.default.contents(atPath: SharedData.path("text/tinystories-4mb.txt")))
        let bytes = all[text.offset..<text.offset + 3000]
        return Array(tokenizer.encode(String(decoding: bytes, as: UTF8.self)).prefix(text.context + text.continuation))
    }

    /// One window over all tokens, of which those behind the context are scored.
    private func window(_ ids: [Int32]) -> EvaluationWindow {
        EvaluationWindow(
            inputs: Array(ids.dropLast()), targets: Array(ids.dropFirst()), scoredTokens: ids.count - 1,
            scoredBytes: ids.count - 1, scoredEnds: Array(1..<ids.count))
    }

    /// A retention that keeps the slots it is told to.
    private struct Forced: Retention {
        let name = "forced"
        /// Positions by stream and KV head.
        var kept: [[[Int32]]]

        func nextDecision(after tokens: Int, prompt: Int) -> Int? { tokens < prompt ? prompt : nil }
        func mostRetained(at tokens: Int, prompt: Int) -> Int { kept.map { $0[0].count }.max() ?? 0 }
        func retained(_ stream: StreamState) -> RetainedSlots { .heads(kept[stream.index].map { $0.map { Int($0) } }) }
    }

    /// Norms of keys are equal for equal tokens up to the rounding of their rotation: of such slots either may be kept.
    private struct KeyNorms: Retention {
        let name = "norms"
        let inputs: RetentionInputs = .keys
        let found: Norms

        final class Norms: @unchecked Sendable {
            /// By stream, KV head and slot; written by the one thread of a test.
            var values: [[[Float]]] = []
        }

        func nextDecision(after tokens: Int, prompt: Int) -> Int? { tokens < prompt ? prompt : nil }
        func mostRetained(at tokens: Int, prompt: Int) -> Int { tokens }
        func retained(_ stream: StreamState) -> RetainedSlots {
            let dim = stream.keys[0].count / stream.slots
            found.values.append(
                stream.keys.map { keys in
                    (0..<stream.slots).map { slot in
                        keys[slot * dim..<(slot + 1) * dim].reduce(0) { $0 + $1 * $1 }.squareRoot()
                    }
                })
            return .ranges([0..<stream.slots])
        }
    }

    /// Whether two retained sets are equal but for slots whose keys have the same norm within rounding.
    private func areEqualUpToTies(_ one: [[[Int32]]], _ other: [[[Int32]]], _ norms: [[[Float]]]) -> Bool {
        for (stream, heads) in one.enumerated() {
            for (head, kept) in heads.enumerated() {
                let mine = Set(kept).subtracting(other[stream][head])
                let theirs = Set(other[stream][head]).subtracting(kept)
                let values = mine.union(theirs).map { norms[stream][head][Int($0)] }
                guard mine.count == theirs.count else { return false }
                // At most one threshold in each head: all swapped slots lie at it.
                if let least = values.min(), let most = values.max(), most - least > 2e-6 * most { return false }
            }
        }
        return true
    }

    @Test(arguments: models) func `budgets that heads divide, likelihoods and divergences equal AdaKVPress's and KVzipPress's`(
        name: String
    ) throws {
        let checkpoint = try HuggingFaceFolder.load(SharedData.path("models/\(name)"))
        let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
        let tokenizer = try TokenizerFile.load(SharedData.path("models/tinystories-656k/tokenizer.json"))
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appendingPathComponent("Fixtures/adakv-\(name).json"))
        var unequal = 0
        for text in try JSONDecoder().decode(Reference.self, from: data).texts {
            let ids = try ids(text, tokenizer)
            for (press, expected) in text.presses.sorted(by: { $0.key < $1.key }) {
                let retention = try retention(press, tokenizer)
                let found = try positions(model, retention, Array(ids.prefix(text.context)))
                #expect(found == expected.retained, "\(press) at \(text.offset)")
                var cache = EvaluationCache(encoding: .float32, retention: retention, pageBytes: 1024)
                cache.prompt = text.context
                let result = try CachedPerplexity.evaluate(model, [window(ids)], through: cache)
                let mean = result.score.nll / Double(result.score.tokensScored)
                let (nll, kl) = (try #require(expected.nll), try #require(expected.kl))
                #expect(abs(mean - nll) < 1e-4 && abs(result.klToFull - kl) < 1e-4, "\(press): \(mean), \(result.klToFull)")
                unequal += found.count { Set($0.map(\.count)).count > 1 }
            }
        }
        #expect(unequal > 0)
    }

    @Test(arguments: models) func `whole heads, likelihoods and divergences equal DuoAttentionPress's`(name: String) throws {
        struct Fixture: Decodable {
            var gates: [[Double]]
            var sinks: Int
            var recent: Int
            var texts: [Reference.Text]
        }
        let checkpoint = try HuggingFaceFolder.load(SharedData.path("models/\(name)"))
        let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
        let tokenizer = try TokenizerFile.load(SharedData.path("models/tinystories-656k/tokenizer.json"))
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appendingPathComponent("Fixtures/heads-\(name).json"))
        let fixture = try JSONDecoder().decode(Fixture.self, from: data)
        let scratch = ScratchDirectory()
        let scores = HeadScores(
            method: "duo-attention", model: nil, layers: Array(fixture.gates.indices), scores: ["gate": fixture.gates])
        try scratch.write(JSONEncoder().encode(scores), to: "heads.json")
        let (heads, few) = (fixture.gates.joined().count, fixture.sinks + fixture.recent)
        for text in fixture.texts {
            let ids = try ids(text, tokenizer)
            for (press, expected) in text.presses.sorted(by: { $0.key < $1.key }) {
                // kvpress says how many heads stream, a budget how many slots all heads keep together.
                let streaming = Double(heads) * (try #require(Double(press.split(separator: "@")[1])))
                let whole = heads - Int(streaming.rounded(.toNearestOrEven))
                var settings = EvictionSettings()
                (settings.policy, settings.scores) = ("duo-attention", scratch["heads.json"])
                (settings.sinks, settings.recent) = (fixture.sinks, fixture.recent)
                settings.budget = .tokens(few + (whole * (text.context - few) + heads - 1) / heads)
                let retention = try settings.retention()
                let found = try positions(model, retention, Array(ids.prefix(text.context)))
                #expect(found == expected.retained, "\(press) at \(text.offset)")
                var cache = EvaluationCache(encoding: .float32, retention: retention, pageBytes: 1024)
                cache.prompt = text.context
                let result = try CachedPerplexity.evaluate(model, [window(ids)], through: cache)
                let mean = result.score.nll / Double(result.score.tokensScored)
                let (nll, kl) = (try #require(expected.nll), try #require(expected.kl))
                #expect(abs(mean - nll) < 1e-4 && abs(result.klToFull - kl) < 1e-4, "\(press): \(mean), \(result.klToFull)")
            }
        }
    }

    @Test(arguments: models) func `sets that recover the attention are those of FastGen's formula`(name: String) throws {
        struct Fixture: Decodable {
            struct Text: Decodable {
                var offset: Int
                var context: Int
                /// By the recovery in percent.
                var fastgen: [String: [[[Int32]]]]
            }
            var texts: [Text]
        }
        let checkpoint = try HuggingFaceFolder.load(SharedData.path("models/\(name)"))
        let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
        let tokenizer = try TokenizerFile.load(SharedData.path("models/tinystories-656k/tokenizer.json"))
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appendingPathComponent("Fixtures/heads-\(name).json"))
        var sizes: Set<Int> = []
        for text in try JSONDecoder().decode(Fixture.self, from: data).texts {
            let place = Reference.Text(offset: text.offset, context: text.context, continuation: 0, full_nll: 0, presses: [:])
            let prompt = try ids(place, tokenizer)
            for (percent, expected) in text.fastgen {
                let retention = try CacheSpec("evict=fastgen,recovery=\(percent)%").retention().instructed(by: tokenizer)
                let found = try positions(model, retention, prompt)
                #expect(found == expected, "\(percent) at \(text.offset)")
                sizes.formUnion(found.joined().map(\.count))
            }
        }
        // Several of the sets occur.
        #expect(sizes.count > 4, "\(sizes)")
    }

    @Test(arguments: models) func `retained sets, likelihoods and divergences equal kvpress's`(name: String) throws {
        let checkpoint = try HuggingFaceFolder.load(SharedData.path("models/\(name)"))
        let model = try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
        let tokenizer = try TokenizerFile.load(SharedData.path("models/tinystories-656k/tokenizer.json"))
        var compared = 0
        for text in try reference(name).texts {
            let ids = try ids(text, tokenizer)
            for (press, expected) in text.presses.sorted(by: { $0.key < $1.key }) {
                // kvpress fails where a pyramid gives its layers unequal lengths.
                guard let retained = expected.retained, let nll = expected.nll, let kl = expected.kl else { continue }
                let retention = try settings(press).retention()
                let prompt = Array(ids.prefix(text.context))
                let found = try positions(model, retention, prompt)
                let isTied = press.hasPrefix("knorm") && found != retained
                if isTied {
                    let norms = KeyNorms.Norms()
                    _ = try positions(model, KeyNorms(found: norms), prompt)
                    #expect(areEqualUpToTies(found, retained, norms.values), "\(press) at \(text.offset)")
                } else {
                    #expect(found == retained, "\(press) at \(text.offset)")
                }
                var cache = EvaluationCache(
                    encoding: .float32, retention: isTied ? Forced(kept: retained) : retention, pageBytes: 4096)
                cache.prompt = text.context
                let result = try CachedPerplexity.evaluate(model, [window(ids)], through: cache)
                let mean = result.score.nll / Double(result.score.tokensScored)
                #expect(result.score.tokensScored == text.continuation - 1)
                #expect(abs(mean - nll) < 1e-4 && abs(result.klToFull - kl) < 1e-4, "\(press): \(mean), \(result.klToFull)")
                compared += 1
            }
        }
        #expect(compared == 45)
    }

    /// The positions that each layer and KV head keeps of a prompt.
    private func positions(_ model: ServingModel, _ retention: any Retention, _ prompt: [Int32]) throws -> [[[Int32]]] {
        var cache = try PagedKVCache(
            config: model.config, retention: retention, pageBytes: 4096, tokens: prompt.count, chunk: prompt.count)
        cache.add(0)
        cache.setPromptLength(0, prompt.count)
        _ = model.logits(RaggedBatch(sequences: [0], counts: [prompt.count], tokens: prompt), cache: &cache)
        return cache.positions(of: 0)
    }
}
