import Checkpoints
import Files
import Foundation
import Inference
import Models
import Random
import TestSupport
import Testing
import Text

@testable import Evaluation
@testable import Experiments

@Suite struct LongContextTests {
    private let scratch = ScratchDirectory()
    private static let grid = PasskeyGrid(lengths: [300, 340], depths: 2, trials: 2, seed: 1, maxTokens: 3)

    /// The path of a small model over bytes, with random weights.
    private func model(_ name: String, positions: Int = 400, seed: UInt64 = 1) throws -> String {
        let config = TinyModel.config(vocabulary: 257, maxSequence: positions)
        let checkpoint = Checkpoint(
            config: config, parameters: TinyModel.parameters(config, seed: seed), tokenizer: ByteTokenizer().serialized,
            tokenIDs: TokenIDs())
        try checkpoint.save(to: scratch[name + ".h5"])
        return scratch[name + ".h5"]
    }

    private func evaluate(
        _ models: [String], _ caches: [String] = ["full"], task: PasskeyGrid = Self.grid, out: String? = nil,
        concurrency: Int = 1, bytes: Int = 4 << 20, queryAware: Bool = false
    ) async throws -> LongContextSummary {
        var options = ExampleRunner.Options()
        options.cacheBytes = bytes
        options.concurrency = concurrency
        options.queryAware = queryAware
        return try await LongContextEvaluation(
            task: task, models: models, caches: try caches.map { try CacheSpec($0) }, options: options,
            out: out.map { scratch[$0] }
        ).run(reporter: ProgressReporter(quiet: true))
    }

    private func records(_ folder: String) throws -> [ExampleRecord] {
        try scratch.bytes(folder + "/records.jsonl").split(separator: 10).map {
            try CanonicalJSON.value(ExampleRecord.self, from: Data($0))
        }
    }

    /// A record without what differs from run to run.
    private func outcome(_ record: ExampleRecord) -> ExampleRecord {
        var record = record
        (record.prefillSeconds, record.decodeSeconds, record.compressSeconds, record.cachedTokens) = (0, 0, nil, 0)
        return record
    }

    @Test func `records have the greedy continuations, whatever shares the cache and runs at once`() async throws {
        let path = try model("a")
        _ = try await evaluate([path], out: "one")
        _ = try await evaluate([path], out: "three", concurrency: 3)
        let one = try records("one")
        #expect(one.count == 8)
        #expect(one.map(outcome).sorted { $0.id < $1.id } == (try records("three")).map(outcome).sorted { $0.id < $1.id })
        let loaded = try ServableModel(path: path)
        let examples = Dictionary(
            uniqueKeysWithValues: try Self.grid.examples(PromptEncoder(loaded.tokenizer, bosID: nil)).map { ($0.id, $0) })
        var random = SeededGenerator(seed: 0)
        for record in one {
            let example = try #require(examples[record.id])
            let ids = Generator(model: loaded.model, stops: loaded.stopIDs)
                .continuation(of: example.tokens, count: 3, generator: &random)
            #expect(record.output == String(decoding: loaded.tokenizer.decode(ids), as: UTF8.self))
            #expect(record.promptTokens == example.tokens.count && record.references == example.references)
            #expect(record.promptSHA256 == SHA256Digest(of: example.prompt).hex)
            #expect(record.contextBytes == record.promptTokens * loaded.config.kvBytesPerToken(.float32))
            #expect(record.heldBytes == record.contextBytes)
        }
        // All but the first find the beginning that they share with the one before.
        #expect(one[0].cachedTokens == 0)
        #expect(one.dropFirst().allSatisfy { $0.cachedTokens >= 128 })
    }

    @Test func `evictions decide before the question, or behind it where that is asked for`() async throws {
        let path = try model("a")
        let caches = ["full", "evict=snapkv,budget=48,window=8"]
        let agnostic = try await evaluate([path], caches, out: "agnostic", concurrency: 3)
        let aware = try await evaluate([path], caches, out: "aware", queryAware: true)
        for (name, isAware) in [("agnostic", false), ("aware", true)] {
            for record in try records(name) where record.cache != "dtype=fp32" {
                #expect(record.queryAware == isAware)
                // 37 bytes of question follow the decision that keeps 48 slots.
                let slots = isAware ? 48 : 48 + 37
                #expect(record.heldBytes == record.contextBytes / record.promptTokens * slots)
            }
            #expect(try records(name).filter { $0.cache == "dtype=fp32" }.allSatisfy { !$0.queryAware })
        }
        #expect(agnostic.caches[1].label == "dtype=fp32,evict=snapkv,budget=48,window=8")
        #expect(aware.caches[1].label == "dtype=fp32,evict=snapkv,budget=48,window=8, query-aware")
        #expect(aware.caches[1].heldShare < agnostic.caches[1].heldShare && agnostic.caches[1].heldShare < 0.3)
        #expect(aware.html.contains("query-aware: compressed after they have seen the question"))
        let outputs = try records("agnostic").sorted { $0.id < $1.id }.map(\.output)
        #expect(try records("aware").sorted { $0.id < $1.id }.map(\.output) != outputs)
    }

    /// Questions about two contexts, alternating.
    private struct Questions: GenerationTask {
        let name = "questions", options: [String: String] = [:], count = 6

        func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
            guard let task = ScoringTask.named("passkey", isDataset: false) else { return [] }
            return (0..<6).map { number in
                let context = String(repeating: number % 2 == 0 ? "The grass is green. " : "Here we go. ", count: 9)
                let tokens = encoder.tokens(context + "What is \(number)?")
                return GenerationExample(
                    id: "questions/\(number)", group: ExampleGroup(), prompt: context, tokens: tokens,
                    contextTokens: context.utf8.count, maxTokens: 3, references: ["\(number)"], task: task)
            }
        }
    }

    @Test func `questions about one context share its compression, and outputs do not depend on that`() async throws {
        let path = try model("a")
        func records(_ concurrency: Int, queryAware: Bool = false) async throws -> [ExampleRecord] {
            var options = ExampleRunner.Options()
            (options.cacheBytes, options.concurrency, options.queryAware) = (4 << 20, concurrency, queryAware)
            let loaded = try ServableModel(path: path)
            let runner = try ExampleRunner(
                loaded, name: "a", spec: try CacheSpec("evict=h2o,budget=48,interval=16"), options: options)
            var records: [ExampleRecord] = []
            let examples = try Questions().examples(PromptEncoder(loaded.tokenizer, bosID: nil))
            try await runner.run(examples) { records.append($0) }
            return records
        }
        let shared = try await records(1)
        // One context behind the other, the first question about each compresses it.
        #expect(shared.map(\.id) == [0, 2, 4, 1, 3, 5].map { "questions/\($0)" })
        #expect(shared.map(\.cachedTokens) == [0, 180, 180, 0, 108, 108])
        #expect(shared.map { $0.compressSeconds.map { $0 > 0 } } == [true, false, false, true, false, false])
        #expect(try await records(3).sorted { $0.id < $1.id }.map(\.output) == shared.sorted { $0.id < $1.id }.map(\.output))
        // Each by itself, with nothing kept before.
        for record in shared {
            var options = ExampleRunner.Options()
            options.cacheBytes = 4 << 20
            let loaded = try ServableModel(path: path)
            let runner = try ExampleRunner(
                loaded, name: "a", spec: try CacheSpec("evict=h2o,budget=48,interval=16"), options: options)
            let example = try #require(
                try Questions().examples(PromptEncoder(loaded.tokenizer, bosID: nil)).first { $0.id == record.id })
            try await runner.run([example]) { alone in
                #expect(alone.output == record.output && alone.cachedTokens == 0, "\(record.id)")
            }
        }
        #expect(try await records(1, queryAware: true).allSatisfy { $0.cachedTokens == 0 && $0.compressSeconds != nil })
        let summary = LongContextSummary(task: "questions", models: ["a"], caches: [shared[0].cache], records: shared)
        #expect(try #require(summary.caches[0].compressSeconds) > 0)
        #expect(summary.plain.contains("compress, ms"))
    }

    @Test func `an evaluation that was killed goes on where it stopped`() async throws {
        let path = try model("a")
        let whole = try await evaluate([path], ["full", "dtype=bf16"], out: "run")
        let all = scratch.bytes("run/records.jsonl")
        let lines = all.split(separator: 10)
        #expect(lines.count == 16)
        // Three whole records and the beginning of the fourth.
        let kept = Array(lines[..<3].joined(separator: [10])) + [10] + Array(lines[3].prefix(40))
        try scratch.write(kept, to: "run/records.jsonl")
        let again = try await evaluate([path], ["full", "dtype=bf16"], out: "run")
        let resumed = scratch.bytes("run/records.jsonl").split(separator: 10)
        #expect(resumed[..<3] == lines[..<3])
        #expect(Set(try records("run").map { "\($0.cache) \($0.id)" }).count == 16)
        #expect(again.caches.map(\.overall) == whole.caches.map(\.overall))
        // What is done is not done again.
        let before = scratch.bytes("run/records.jsonl")
        let third = try await evaluate([path], ["full", "dtype=bf16"], out: "run")
        #expect(third == again)
        #expect(scratch.bytes("run/records.jsonl") == before)
        #expect(try CanonicalJSON.value(LongContextSummary.self, from: Data(scratch.bytes("run/summary.json"))) == again)
    }

    @Test func `a folder of another evaluation is refused, naming what differs`() async throws {
        let (first, second) = (try model("a"), try model("b", seed: 2))
        _ = try await evaluate([first], out: "run")
        func refusal(_ models: [String], _ caches: [String] = ["full"], task: PasskeyGrid = Self.grid) async throws
            -> String
        {
            let error = await #expect(throws: LongContextError.self) {
                try await evaluate(models, caches, task: task, out: "run")
            }
            return try #require(error).description
        }
        let folder = scratch["run"]
        #expect(
            try await refusal([first], ["dtype=bf16"])
                == "\(folder): holds an evaluation whose caches is dtype=fp32, not dtype=bf16; choose another folder with --out")
        var other = Self.grid
        other.seed = 2
        #expect(
            try await refusal([first], task: other)
                == "\(folder): holds an evaluation whose --seed is 1, not 2; choose another folder with --out")
        #expect(try await refusal([first, second]).contains("whose model b is not set, not "))
        // The same name with another content.
        try Data(scratch.bytes("b.h5")).write(to: URL(fileURLWithPath: first))
        #expect(try await refusal([first]).contains("whose model a is "))
    }

    @Test func `a record that cannot be read is named by its line`() async throws {
        let path = try model("a")
        _ = try await evaluate([path], out: "run")
        var lines = scratch.bytes("run/records.jsonl").split(separator: 10).map(Array.init)
        lines[1] = Array("{}".utf8)
        try scratch.write(Array(lines.joined(separator: [10])) + [10], to: "run/records.jsonl")
        let error = await #expect(throws: LongContextError.self) { try await evaluate([path], out: "run") }
        #expect(
            try #require(error).description
                == "\(scratch["run"])/records.jsonl: line 2 is no record; remove it, and its example is run again")
    }

    @Test func `records are scored anew without the model, and one that cannot be is named by its line`() async throws {
        let path = try model("a")
        let summary = try await evaluate([path], out: "run")
        let whole = scratch.bytes("run/records.jsonl")
        // Another key in the second record's output, and a torn line.
        var lines = try records("run")
        lines[1].output = "the key is \(lines[1].references[0])"
        let texts = try lines.map { try CanonicalJSON.text(of: $0) + "\n" }
        try scratch.write(Array((texts.joined() + "{\"id").utf8), to: "run/records.jsonl")
        let (scored, changed) = try RecordFolder.rescore(scratch["run"], jieba: nil, lineSimilarity: nil)
        #expect(changed == 1 && scored.caches[0].overall.mean == summary.caches[0].overall.mean + 1.0 / 8)
        #expect(try records("run")[1].scores == ["accuracy": 1])
        #expect(try CanonicalJSON.value(LongContextSummary.self, from: Data(scratch.bytes("run/summary.json"))) == scored)
        // The evaluation goes on with them.
        #expect(try await evaluate([path], out: "run") == scored)
        #expect(scratch.bytes("run/records.jsonl").count > whole.count)
        lines[2].rule = "other"
        try scratch.write(
            Array(try lines.map { try CanonicalJSON.text(of: $0) + "\n" }.joined().utf8), to: "run/records.jsonl")
        let error = #expect(throws: ScoringError.self) {
            try RecordFolder.rescore(scratch["run"], jieba: nil, lineSimilarity: nil)
        }
        #expect(error?.description == "\(scratch["run"])/records.jsonl: line 3: unknown rule 'other'")
        #expect(throws: FileError.self) { try RecordFolder.rescore(scratch["none"], jieba: nil, lineSimilarity: nil) }
    }

    @Test func `contexts longer than the model or the memory are refused before anything runs`() async throws {
        let short = try model("short", positions: 341)
        let error = await #expect(throws: LongContextError.self) { try await evaluate([short], out: "run") }
        #expect(
            try #require(error).description.hasSuffix(
                "the prompt and its output take 342 tokens, short has 341 positions; choose shorter prompts"))
        #expect(try records("run").isEmpty)
        let path = try model("a")
        let memory = await #expect(throws: LongContextError.self) { try await evaluate([path], bytes: 64 << 10) }
        #expect(try #require(memory).description.contains(" 65536 bytes of a dtype=fp32 cache have room for "))
        let twice = await #expect(throws: LongContextError.self) { try await evaluate([path, path]) }
        #expect(try #require(twice).description == "'a' is named twice; each model and each cache needs a name of its own")
    }

    private func record(_ id: String, _ cache: String, score: Double, depth: Double = 0.25, seconds: Double) -> ExampleRecord {
        ExampleRecord(
            id: id, model: "m", cache: cache, group: .init(length: 512, depth: depth), queryAware: false, promptTokens: 100,
            cachedTokens: 20, contextBytes: 1000, heldBytes: cache == "x" ? 1000 : 250, output: "1", outputTokens: 5,
            rule: "passkey", references: ["1"], scores: ["accuracy": score], finish: "length", prefillSeconds: seconds,
            decodeSeconds: 2 * seconds,
            promptSHA256: "")
    }

    private var summary: LongContextSummary {
        LongContextSummary(
            task: "passkey", models: ["m"], caches: ["x", "y", "z"],
            records: [
                record("1", "x", score: 1, seconds: 1), record("2", "x", score: 1, depth: 0.75, seconds: 3),
                record("2", "y", score: 0, depth: 0.75, seconds: 1), record("1", "y", score: 1, seconds: 1),
            ])
    }

    @Test func `a summary has each cache's means, speeds and difference to the first`() {
        let summary = summary
        #expect(summary.caches.map(\.spec) == ["x", "y"])
        let (x, y) = (summary.caches[0], summary.caches[1])
        #expect(x.overall.mean == 1 && x.toReference == nil && x.bytesPerToken == 10 && x.heldShare == 1)
        #expect(x.firstTokenMedian == 2 && x.prefillTokensPerSecond == 40 && x.decodeTokensPerSecond == 1)
        #expect(y.overall.mean == 0.5 && y.heldShare == 0.25 && y.bytesPerToken == 2.5)
        #expect(y.toReference == PairedScores([(1, 1), (1, 0)]))
        #expect(y.groups.map(\.group.depth) == [0.25, 0.75] && y.groups.map(\.mean) == [1, 0])
        #expect(y.groups[0].low < 0.21 && y.groups[0].high == 1)
    }

    @Test func `a report has a table, a heat map a cache and a plot, without scripts`() {
        let html = summary.html
        #expect(html.components(separatedBy: "<figure>").count == 4)
        #expect(!html.contains("<script"))
        for text in [
            "512 tokens, depth 75 %: 0 % of 1, 95 % interval 0 to 79.3", "fill-opacity=\"0.80\"", "fill-opacity=\"0.00\"",
            ">-50.0 ± 50.0<", ">1/0<", "query-agnostic",
        ] {
            #expect(html.contains(text), "\(text)")
        }
        let plain = summary.plain
        #expect(plain.contains("passkey at 512 tokens") && plain.contains("34.2–100.0"))
        #expect(summary.csv.split(separator: "\r\n").count == 3)
    }
}
