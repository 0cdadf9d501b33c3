import Checkpoints
import Evaluation
import Foundation
import Inference
import Models
import Recipes
import TestSupport
import Testing
import Text

@testable import Experiments

/// Tasks beside bits per byte, in labs and comparisons.
@Suite struct TaskTests {
    private let scratch = ScratchDirectory()
    private let reporter = ProgressReporter(quiet: true)

    private func recipe(_ tasks: String, more: String = "", maxSeq: Int = 360) throws -> Recipe {
        let words = ["alpha", "beta", "gamma", "delta", "epsilon"]
        let text = (0..<300).map { "\(words[$0 * $0 % 5]) meets \(words[$0 % 3]) at \($0 % 7).\n" }.joined()
        if scratch.bytes("text.txt").isEmpty { try scratch.write(Array(text.utf8), to: "text.txt") }
        return try Recipe.parse(
            """
            {"name": "lab", "tokenizer": {"kind": "byte"},
             "data": {"files": ["\(scratch["text.txt"])"], "cache": "\(scratch["cache"])"},
             "model": {"dim": 16, "layers": 2, "heads": 2, "ffn": 24, "maxSeq": \(maxSeq)},
             "train": {"steps": 2, "batch": 2, "seq": 24, "learningRate": 0.003},
             "lab": {"children": [{"kvHeads": 1, "method": "mean"}], "alpha": 0.5, "control": false\(more),
                     "evaluation": {"window": 48, "contextTokens": 64, "kvDtype": "fp32", "tasks": \(tasks)}}}
            """)
    }

    private func lab(_ recipe: Recipe) throws -> Sweep {
        try Sweep(recipe: recipe, lab: try #require(recipe.lab), directory: scratch["out"], reporter: reporter)
    }

    private static let passkey = #"[{"passkey": {"lengths": [300], "depths": 2, "trials": 2, "maxNew": 2}}]"#

    /// The lines of records by their file.
    private func records() throws -> [String: Int] {
        var found: [String: Int] = [:]
        for folder in ["parent", "kv1-mean"] {
            for name in (try? FileManager.default.contentsOfDirectory(atPath: scratch["out/\(folder)"])) ?? []
            where name.hasPrefix("task-") {
                found["\(folder)/\(name)"] = scratch.bytes("out/\(folder)/\(name)/records.jsonl").count { $0 == 10 }
            }
        }
        return found
    }

    @Test func `a lab evaluates every model on its tasks, goes on after a kill and keeps what is done`() async throws {
        let recipe = try recipe(Self.passkey)
        let stopped = try await lab(recipe).execute { (try? records().values.reduce(0, +)) ?? 0 >= 6 }
        #expect(stopped == nil)
        // The parent's four examples, and two of the child's.
        #expect(try records().values.sorted() == [2, 4])
        #expect(try lab(recipe).planText().hasSuffix("2 evaluations on tasks, 1 to run"))
        let result = try #require(try await lab(recipe).execute { false })
        #expect(try records().values.sorted() == [4, 4])
        let table = try #require(result.comparison?.tasks)
        #expect(table.tasks == ["passkey"] && table.rows.map(\.model) == ["parent", "kv1-mean"])
        let scores = table.rows.compactMap { $0.scores[0] }
        #expect(scores.map(\.overall.n) == [4, 4] && scores.map(\.toParent?.n) == [nil, 4])
        #expect(scores.allSatisfy { $0.heldBytesPerToken.map { $0 > 0 } == true })
        #expect(table.rows.map(\.bitsPerByte) == result.comparison?.rows.map(\.bitsPerByte))
        let saved = try JSONDecoder().decode(ComparisonTable.self, from: Data(scratch.bytes("out/results.json")))
        #expect(saved.tasks == table)
        let html = String(decoding: scratch.bytes("out/report.html"), as: UTF8.self)
        #expect(html.contains("Tasks beside bits per byte") && html.contains("No two caches are told apart"))
        let csv = String(decoding: scratch.bytes("out/tasks.csv"), as: UTF8.self).split(separator: "\r\n")
        #expect(csv.count == 3 && csv[0].hasPrefix("model,attention,parent,cache,runs,bytes_per_token"))
        #expect(csv[1].contains("\"passkey:lengths=300,depths=2,trials=2,maxNew=2\",4,"))
        // Another task measures itself alone.
        let both =
            Self.passkey.dropLast()
            + #", {"passkey": {"lengths": [290], "depths": 1, "trials": 1, "maxNew": 2}}]"#
        #expect(try lab(self.recipe(String(both))).planText().hasSuffix("4 evaluations on tasks, 2 to run"))
    }

    @Test func `tasks run through every cache of a lab`() async throws {
        let result = try await lab(
            recipe(Self.passkey, more: #", "compression": [{"kvDtype": "int8"}, {"evict": "knorm", "budget": 40}]"#)
        )
        .execute { false }
        let table = try #require(result?.results.tasks)
        let caches = ["dtype=fp32", "dtype=int8", "dtype=fp32,evict=knorm,budget=40"]
        #expect(table.rows.map(\.cache) == caches + caches)
        let held = table.rows.compactMap { $0.scores[0]?.heldBytesPerToken }
        #expect(held.count == 6)
        #expect(held[1] < held[0] && held[2] < held[0])
        let frontier = try #require(result?.frontier)
        #expect(table.rows.map(\.bitsPerByte) == frontier.rows.map(\.bitsPerByte))
        #expect(frontier.rows[0].difference == nil)
        #expect(frontier.rows.dropFirst().allSatisfy { $0.difference != nil && $0.margin != nil })
        let recommendations = try #require(frontier.recommendations)
        #expect(recommendations.count == 1 && recommendations[0].choice != nil)
        for row in frontier.rows {
            #expect((row.logicalBytesPerToken ?? .infinity) <= row.cacheBytesPerToken, "\(row.cache)")
        }
    }

    @Test func `conversations and choices are tasks through every cache, and the same command keeps their scores`() async throws {
        try FileManager.default.createDirectory(atPath: scratch["mmlu/dev"], withIntermediateDirectories: true)
        try FileManager.default.createDirectory(atPath: scratch["mmlu/test"], withIntermediateDirectories: true)
        try scratch.write("One?,a,b,c,d,B\n".utf8, to: "mmlu/dev/law_dev.csv")
        try scratch.write("Two?,a,b,c,d,C\nThree?,a,b,c,d,A\n".utf8, to: "mmlu/test/law_test.csv")
        try scratch.write(
            #"{"id": "trip", "turns": [{"user": "Platform 9."}, {"user": "Which?", "references": ["9"]}]}"#.utf8,
            to: "chats.jsonl")
        let tasks = """
            [{"mmlu": {"data": "\(scratch["mmlu"])", "shots": 1}}, {"dialogue": {"data": "\(scratch["chats.jsonl"])", "maxNew": 2}}]
            """
        let recipe = try recipe(tasks, more: #", "compression": [{"kvDtype": "int8"}, {"evict": "knorm", "budget": 40}]"#)
        let result = try await lab(recipe).execute { false }
        let table = try #require(result?.results.tasks)
        #expect(table.tasks == ["mmlu", "dialogue"] && table.rows.count == 6)
        for row in table.rows {
            #expect(row.scores.map { $0?.overall.n } == [2, 1], "\(row.model) \(row.cache)")
        }
        // Two models, two tasks, three caches.
        #expect(try lab(recipe).planText().hasSuffix("12 evaluations on tasks, 0 to run"))
        let again = try #require(try await lab(recipe).execute { false })
        #expect(again.results.tasks == table)
    }

    @Test func `faults of tasks are found before anything is trained, with their key`() throws {
        func sentence(_ tasks: String, more: String = "", maxSeq: Int = 360) -> String {
            do {
                _ = try lab(recipe(tasks, more: more, maxSeq: maxSeq))
                return "accepted"
            } catch { return "\(error)".replacing(scratch.path + "/", with: "") }
        }
        #expect(
            sentence(#"[{"passkey": {"lengths": [300], "maxNew": 10}}]"#, maxSeq: 308)
                == "'lab.evaluation.tasks[0].passkey.lengths': prompts and outputs take 309 tokens, the parent has 308 positions")
        #expect(
            sentence(#"[{"babilong": {"prompts": "p.py"}}]"#)
                == "'lab.evaluation.tasks[0].babilong': name either 'data', BABILong's own files, or 'babi' and 'haystack', to make samples from"
        )
        #expect(sentence(#"[{"task": "none.yaml"}]"#).contains("none.yaml: cannot open"))
        try scratch.write(
            Array("task: t\noutput_type: generate_until\ntest_split: test\ndoc_to_text: \"{{q}}\"\ndoc_to_target: a\n".utf8),
            to: "t.yaml")
        try scratch.write(Array(#"{"q": "1 + 1 =", "a": "2"}"#.utf8), to: "t.jsonl")
        let task = #"{"file": "\#(scratch["t.yaml"])", "data": ["\#(scratch["t.jsonl"])"]}"#
        #expect(
            sentence(#"[{"task": \#(task)}]"#, more: #", "compression": [{"evict": "knorm", "budget": 8}]"#)
                == "'lab.evaluation.tasks[0].task': nothing precedes the questions of t, at whose beginning evictions would decide; set 'queryAware'"
        )
        #expect(sentence(#"[{"task": \#(task)}]"#) == "accepted")
        #expect(!FileManager.default.fileExists(atPath: scratch["out"]))
    }

    @Test func `the recommended recipe makes the model that was recommended`() async throws {
        let result = try #require(try await lab(recipe(Self.passkey)).execute { false })
        let found = try #require(result.comparison?.recommendation)
        let make = try #require(found.choice?.make)
        #expect(
            found.choice?.name == "kv1-mean"
                && found.choice?.serve == "kvlab serve \(scratch["out/kv1-mean/model.h5"]) --kv-dtype fp32")
        #expect(make == "kvlab train \(scratch["out/make/kv1-mean.json"]) --out \(scratch["out/make/kv1-mean"])")
        let again = try Recipe.load(scratch["out/make/kv1-mean.json"], overrides: [])
        _ = try Run(PreparedRun(again, reporter: reporter), directory: scratch["again"], reporter: reporter).execute(
            resume: false)
        let weights = try ["again/model.h5", "out/kv1-mean/model.h5"].map { path in
            let checkpoint = try Checkpoint.load(scratch[path])
            return checkpoint.parameters.names.map { checkpoint.parameters[$0]?.float32().array() ?? [] }
        }
        #expect(weights[0] == weights[1])
        let html = String(decoding: scratch.bytes("out/report.html"), as: UTF8.self)
        let places = try ["class=\"answer\"", "Quality against cache size", "<table>"].map {
            try #require(html.firstRange(of: $0)).lowerBound
        }
        #expect(places == places.sorted())
    }

    @Test func `a comparison has tasks beside its table, and refuses what does not fit before scoring`() async throws {
        var models: [LoadedModel] = []
        for (index, name) in ["a", "b"].enumerated() {
            let config = TinyModel.config(vocabulary: 257, maxSequence: 360)
            let checkpoint = Checkpoint(
                config: config, parameters: TinyModel.parameters(config, seed: UInt64(index + 1)),
                tokenizer: ByteTokenizer().serialized, tokenIDs: TokenIDs())
            try checkpoint.save(to: scratch[name + ".h5"])
            models.append(try LoadedModel(path: scratch[name + ".h5"]))
        }
        try scratch.write(Array((0..<60).map { "line \($0 * $0 % 17)\n" }.joined().utf8), to: "text.txt")
        let text = try EvaluationText(Corpus(paths: [scratch["text.txt"]]), splitOn: nil)
        var comparison = Comparison(window: 48, bos: .never)
        (comparison.contextTokens, comparison.kvType) = (64, .float32)
        let tasks = try ComparisonTasks(
            [EvaluationSpec("passkey:lengths=300,depths=1,trials=2,maxNew=2")], models: models, caches: [])
        let (table, quality) = try comparison.table(models, text, title: "text", reporter: reporter)
        let scores = try await comparison.tasks(
            tasks, models: models, paths: ["a.h5", "b.h5"].map { scratch[$0] }, quality: quality, text: "text", reporter: reporter
        )
        #expect(scores.rows.map(\.model) == ["a", "b"] && scores.rows.map(\.bitsPerByte) == table.rows.map(\.bitsPerByte))
        #expect(scores.rows[1].scores[0]?.toParent?.n == 2)
        #expect(throws: LongContextError.self) {
            try ComparisonTasks([EvaluationSpec("passkey:lengths=400,depths=1,trials=1")], models: models, caches: [])
        }
    }

    // MARK: The table

    /// A model of one seed, right in `right` of 40 examples, whose ten windows of 1,000 bytes have `nats` each, near enough.
    private func entry(_ model: String, right: Int, nats: Double, isParent: Bool = false, seed: Int = 0) -> TaskTable.Entry {
        let windows = (0..<10).map { WindowScore(nll: nats + Double($0 % 2) / 100, tokens: 10, bytes: 1000) }
        let quality = PerplexityResult(windows: windows)
        return TaskTable.Entry(
            model: model, attention: "MHA", parent: "parent", isParent: isParent, seed: seed,
            cache: CacheSpec(keepingAllIn: .float16),
            bytesPerToken: 64, bitsPerByte: quality.bitsPerByte, quality: quality,
            scores: [TaskScores(ids: (0..<40).map { "\($0)" }, scores: (0..<40).map { $0 < right ? 1 : 0 })])
    }

    private func table(_ entries: [TaskTable.Entry]) throws -> TaskTable {
        TaskTable(
            entries, tasks: [try LabTask(EvaluationSpec("passkey")) { $0 ?? "" }], full: CacheSpec(keepingAllIn: .float16),
            text: "a text")
    }

    @Test func `a pair that a task and bits per byte put in opposite order is named, with both differences`() throws {
        let table = try table([
            entry("parent", right: 40, nats: 500, isParent: true), entry("forgets", right: 10, nats: 490),
            entry("recalls", right: 36, nats: 510),
        ])
        // 36 of 40: Wilson's interval by hand is 76.9 to 96.0 %.
        let score = try #require(table.rows[2].scores[0])
        #expect(abs(score.overall.low - 0.769) < 1e-3)
        #expect(abs(score.overall.high - 0.960) < 1e-3)
        let paired = try #require(score.toParent)
        #expect(paired.lost == 4 && paired.gained == 0 && paired.difference == -0.1)
        // Parent and "recalls" are told apart too, and agree.
        #expect(table.toldApart == 3 && table.disagreements.count == 2)
        #expect(table.disagreements[0].scoresBetter == "parent" && table.disagreements[0].predictsBetter == "forgets")
        #expect(table.disagreements[0].difference == 0.75)
        #expect(
            table.verdicts[0] == "Tasks and bits per byte disagree about which cache is better in 2 of 3 comparisons:")
        // 20 nats of 1,000 bytes are 0.0289 bits a byte; 26 of 40 pairs differ by 1: 65 ± 1.96 · 0.4830 / √40 = 15.0.
        #expect(
            table.verdicts[2]
                == "passkey: recalls scores 90.0 %, forgets 25.0 % (65.0 ± 15.0 points), but the latter has 0.0289 ± 0.0000 fewer bits per byte."
        )
    }

    @Test func `where task and bits per byte agree that is said, and equal scores tell nothing apart`() throws {
        let agree = try table([entry("parent", right: 40, nats: 500, isParent: true), entry("worse", right: 10, nats: 520)])
        #expect(
            agree.verdicts == [
                "Tasks and bits per byte agree about which cache is better in every comparison that both tell apart (1)."
            ])
        let alike = try table([entry("parent", right: 40, nats: 500, isParent: true), entry("same", right: 40, nats: 520)])
        #expect(alike.verdicts == ["No two caches are told apart by both a task and bits per byte: more trials would tell."])
    }

    @Test func `seeds of one model are pooled, each paired with the parent of its own`() throws {
        let table = try table([
            entry("parent", right: 40, nats: 500, isParent: true, seed: 1), entry("child", right: 20, nats: 510, seed: 1),
            entry("parent", right: 20, nats: 505, isParent: true, seed: 2), entry("child", right: 20, nats: 515, seed: 2),
        ])
        let child = try #require(table.rows.first { $0.model == "child" })
        let score = try #require(child.scores[0])
        #expect(child.runs == 2 && score.overall.n == 80)
        #expect(score.toParent?.difference == -0.25)
    }
}
