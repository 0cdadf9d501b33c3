import Foundation
import TestSupport
import Testing

/// `kvlab eval babilong`, `ruler`, `dialogue`, `gsm8k`, `mmlu`, `task` and `rescore` as a user runs them.
@Suite struct SuiteCommandTests {
    private let scratch = ScratchDirectory()

    private func run(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(arguments, in: scratch.path) }

    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("EvaluationTests/Fixtures").path

    private func write(_ text: String, _ name: String) throws {
        let folder = URL(fileURLWithPath: scratch[name]).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try scratch.write(Array(text.utf8), to: name)
    }

    private func copy(_ fixture: String, _ name: String) throws {
        try write(try String(contentsOfFile: Self.fixtures + "/" + fixture, encoding: .utf8), name)
    }

    /// Trains a model over bytes with 1,200 positions, `run/model.h5`.
    private func model() throws {
        try write(String(repeating: "a few words of text ", count: 200), "text.txt")
        try write(
            """
            {"name": "tiny", "tokenizer": {"kind": "byte"}, "data": {"files": ["text.txt"]},
             "model": {"dim": 16, "layers": 1, "heads": 2, "ffn": 24, "maxSeq": 1200},
             "train": {"steps": 1, "batch": 2, "seq": 32, "learningRate": 0.003}}
            """, "recipe.json")
        let outcome = try run("train", "recipe.json", "--out", "run")
        #expect(outcome.status == 0, "\(outcome.error)")
    }

    private func json(_ outcome: Tool.Outcome) throws -> [String: Any] {
        #expect(outcome.status == 0, "\(outcome.error)")
        return try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
    }

    /// The first cache of a summary.
    private func cache(_ outcome: Tool.Outcome) throws -> [String: Any] {
        let summary = try json(outcome)
        return try #require((summary["caches"] as? [[String: Any]])?.first)
    }

    /// The groups of the first cache of a summary: data set, length and number of examples.
    private func groups(_ outcome: Tool.Outcome) throws -> [String] {
        let groups = try #require(try cache(outcome)["groups"] as? [[String: Any]])
        return groups.map { group in
            let name = group["group"] as? [String: Any]
            let length = (name?["length"] as? Int).map { "\($0)" } ?? "-"
            return "\(name?["dataset"] as? String ?? "-") \(length) \(group["n"] as? Int ?? 0)"
        }
    }

    @Test func `suites run from their own files, records are scored anew, and faults are named`() throws {
        try model()
        try copy("suites/babilong.json", "data/0k/qa1.json")
        try copy("suites/prompts.py", "prompts.py")
        try copy("suites/babi.txt", "babi/qa1_single_test.txt")
        try copy("suites/ruler.jsonl", "ruler/vt-64.jsonl")
        try write((0..<300).map { "The sentence \($0) has some words." }.joined(separator: " "), "book.txt")
        let babilong = ["eval", "babilong", "run/model.h5", "--prompts", "prompts.py", "--max-new", "2", "--json"]
        #expect(try groups(Tool.run(babilong + ["--data", "data", "--out", "out"], in: scratch.path)) == ["qa1 0 2"])
        let made = try Tool.run(
            babilong + ["--babi", "babi", "--haystack", "book.txt", "--tasks", "qa1", "--lengths", "0k,1k", "--bare"],
            in: scratch.path)
        #expect(try groups(made) == ["qa1 0 2", "qa1 1000 2"])
        let ruler = try run(
            "eval", "ruler", "run/model.h5", "--data", "ruler", "--max-new", "2", "--json", "--limit", "1", "--chat", "auto")
        #expect(try groups(ruler) == ["vt 64 1"])
        // An output that names the right label.
        let records = String(decoding: scratch.bytes("out/records.jsonl"), as: UTF8.self)
        let output = try #require(records.range(of: #""output":"[^"]*""#, options: .regularExpression))
        try write(records.replacingCharacters(in: output, with: #""output":"In the hallway.""#), "out/records.jsonl")
        let rescored = try run("eval", "rescore", "out", "--json")
        #expect(rescored.error.contains("1 scores changed"))
        let overall = try #require(try cache(rescored)["overall"] as? [String: Any])
        #expect(overall["mean"] as? Double == 0.5)
        for (arguments, sentence) in [
            (["babilong", "--data", "data"], "name BABILong's prompts with --prompts: the file babilong/prompts.py"),
            (["babilong", "--prompts", "prompts.py"], "name either --data"),
            (["babilong", "--prompts", "prompts.py", "--babi", "babi"], "--babi and --haystack belong together"),
            (["babilong", "--prompts", "prompts.py", "--data", "data", "--seed", "1"], "--seed has no effect without --babi"),
            (["babilong", "--prompts", "prompts.py", "--data", "data", "--lengths", "1"], "--lengths is '1', expected"),
            (
                ["babilong", "--prompts", "prompts.py", "--data", "data", "--tasks", "qa21"],
                "--tasks has 'qa21'; the tasks are qa1"
            ),
            (["babilong", "--prompts", "prompts.py", "--data", "run"], "--data run has none of BABILong's folders"),
            (
                ["babilong", "--prompts", "prompts.py", "--data", "data", "--lengths", "2k", "--tasks", "qa1"],
                "data/2k/qa1.json: cannot open"
            ),
            (["ruler", "--data", "ruler", "--tasks", "vt,vt"], "--tasks is 'vt,vt', which names one twice"),
            (["ruler", "--data", "ruler", "--chat", "always"], "run has no chat template, and its tokenizer no known markers"),
            (["gsm8k", "--data", "x", "--multi-turn", "--prompts", "x"], "--multi-turn has no effect without --chat"),
            (["ruler", "--data", "ruler", "--limit", "0"], "--limit is 0, expected at least 1"),
            (["ruler", "--data", "ruler", "--max-new", "5000"], "positions; choose shorter prompts"),
            (["gsm8k", "--data", "x"], "name the worked examples with --prompts: the file lm_eval/tasks/gsm8k/gsm8k-cot.yaml"),
        ] {
            let refused = try Tool.run(
                ["eval", arguments[0], "run/model.h5"] + arguments.dropFirst(), in: scratch.path)
            #expect(
                refused.status != 0 && refused.output.isEmpty && refused.error.contains(sentence),
                "\(arguments): \(refused.error)")
        }
        #expect(try run("eval", "rescore", "none").error.contains("none/run.json: cannot open"))
    }

    @Test func `conversations are answered turn by turn behind the model's own answers`() throws {
        try model()
        try copy("suites/dialogue.jsonl", "chats.jsonl")
        let command = ["eval", "dialogue", "run/model.h5", "--data", "chats.jsonl", "--max-new", "4", "--out", "out"]
        let entry = try cache(Tool.run(command + ["--html", "dialogue.html", "--json"], in: scratch.path))
        let turns = try #require(entry["turns"] as? [[String: Any]])
        #expect(turns.map { $0["turn"] as? Int } == [1, 2, 3] && turns.map { $0["conversations"] as? Int } == [2, 2, 1])
        #expect((turns[1]["score"] as? [String: Any])?["n"] as? Int == 2 && turns[2]["score"] == nil)
        // The turns before, whose pages are full.
        let (second, prompt) = (turns[1]["cachedTokens"] as? Double, turns[0]["promptTokens"] as? Double)
        #expect(try #require(second) > 0 && #require(second) >= #require(prompt) - 16)
        #expect(String(decoding: scratch.bytes("dialogue.html"), as: UTF8.self).contains("<h2>Turn by turn</h2>"))
        // The third record lost, the conversation goes on behind the second's answer.
        let records = String(decoding: scratch.bytes("out/records.jsonl"), as: UTF8.self).split(separator: "\n")
        #expect(records.count == 5)
        try write(records.prefix(3).map { $0 + "\n" }.joined(), "out/records.jsonl")
        let table = try Tool.run(command, in: scratch.path)
        #expect(table.output.contains("cached tokens") && table.status == 0, "\(table.error)")
        func outcomes(_ lines: [Substring]) throws -> [[String]] {
            try lines.map { line in
                let record = try #require(try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
                return ["id", "output", "promptSHA256"].map { record[$0] as? String ?? "" }
            }
        }
        let again = String(decoding: scratch.bytes("out/records.jsonl"), as: UTF8.self).split(separator: "\n")
        #expect(try outcomes(again) == outcomes(records))
        for (options, sentence) in [
            (["--max-new", "1200"], "dialogue/trip/1: the prompt and its output take"), (["--limit", "0"], "--limit is 0"),
            (["--data", "none.jsonl"], "none.jsonl: cannot open"),
        ] {
            let refused = try Tool.run(["eval", "dialogue", "run/model.h5", "--data", "chats.jsonl"] + options, in: scratch.path)
            #expect(refused.status != 0 && refused.error.contains(sentence), "\(options): \(refused.error)")
        }
    }

    @Test func `documents of retrieval are written as text or JSON Lines, and faults are named`() throws {
        try write((0..<300).map { "The sentence \($0) has some words." }.joined(separator: " "), "book.txt")
        let command = ["text", "recall", "--haystack", "book.txt", "--documents", "30"]
        let made = try Tool.run(command + ["--stage", "3", "--out", "three.txt"], in: scratch.path)
        #expect(made.status == 0 && made.output.hasPrefix("three.txt: 30 documents, "), "\(made.error)")
        let documents = String(decoding: scratch.bytes("three.txt"), as: UTF8.self).split(separator: "\n<|endoftext|>\n")
        #expect(documents.count == 30)
        #expect(try Tool.run(command + ["--stage", "3", "--out", "three.jsonl"], in: scratch.path).status == 0)
        let lines = String(decoding: scratch.bytes("three.jsonl"), as: UTF8.self).split(separator: "\n")
        let first = try JSONSerialization.jsonObject(with: Data(try #require(lines.first).utf8)) as? [String: String]
        #expect(lines.count == 30 && first?["text"] == documents.first.map(String.init))
        #expect(try Tool.run(command + ["--stage", "0", "--out", "words.txt"], in: scratch.path).status == 0)
        #expect(!String(decoding: scratch.bytes("words.txt"), as: UTF8.self).contains { $0.isNumber })
        for (options, sentence) in [
            (["--stage", "6", "--out", "x"], "--stage is 6, expected 0 to 5"),
            (["--stage", "1", "--out", "three.txt"], "three.txt is there already; --force writes over it"),
            (["--stage", "1", "--out", "x", "--separator", ""], "--separator is empty"),
            (["--stage", "1", "--out", "x", "--documents", "0"], "--documents is 0, expected 1 to 10000000"),
        ] {
            let refused = try Tool.run(command + options, in: scratch.path)
            #expect(refused.status != 0 && refused.error.contains(sentence), "\(options): \(refused.error)")
        }
        try model()
        let keys = try run("eval", "needle", "run/model.h5", "--haystack", "book.txt", "--lengths", "600", "--keys", "11")
        #expect(keys.error.contains("--keys is 11, expected 1 to 10"))
        let book = try run(
            "eval", "passkey", "run/model.h5", "--haystack", "book.txt", "--lengths", "400", "--depths", "1", "--trials", "1",
            "--json")
        #expect(book.status == 0, "\(book.error)")
    }

    @Test func `questions of four choices are scored by likelihood, by subject and against the first model`() throws {
        try model()
        for name in ["anatomy", "astronomy"] {
            try copy("suites/mmlu.csv", "mmlu/test/\(name)_test.csv")
            try copy("suites/mmlu.csv", "mmlu/dev/\(name)_dev.csv")
        }
        try FileManager.default.copyItem(atPath: scratch["run/model.h5"], toPath: scratch["second.h5"])
        let command = ["eval", "mmlu", "run/model.h5", "second.h5", "--data", "mmlu", "--shots", "1"]
        let report = try json(Tool.run(command + ["--json"], in: scratch.path))
        let models = try #require(report["models"] as? [[String: Any]])
        #expect(models.count == 2 && models[0]["items"] as? Int == 4 && (models[0]["groups"] as? [Any])?.count == 2)
        #expect((models[1]["toReference"] as? [String: Any])?["difference"] as? Double == 0)
        let table = try Tool.run(command, in: scratch.path).output
        #expect(table.contains("anatomy (2)") && table.contains("difference  +0.0000"))
        let caches = ["--cache", "full", "--cache", "evict=streaming-llm,budget=16,dtype=int8"]
        let cached = try #require(
            try json(Tool.run(command + caches + ["--json"], in: scratch.path))["models"] as? [[String: Any]])
        #expect(cached.map { $0["cache"] as? String }[..<2] == ["dtype=fp32", "dtype=int8,evict=streaming-llm,budget=16"])
        #expect(cached.count == 4 && (cached[0]["scores"] as? [String: Double]) == (models[0]["scores"] as? [String: Double]))
        let bytes = cached.compactMap { $0["heldBytes"] as? Double }
        #expect(bytes.count == 4 && bytes[1] < bytes[0] / 4)
        #expect(try Tool.run(command + ["--kv-dtype", "bf16"], in: scratch.path).output.contains("cache held"))
        for (options, sentence) in [
            (["--shots", "5"], "mmlu/dev/anatomy_dev.csv: line 1: 2 examples, expected at least 5"),
            (["--subjects", "law"], "mmlu/dev/law_dev.csv: cannot open"), (["--limit", "0"], "--limit is 0"),
            (["--data", "none"], "none/test: line 1: no files such as abstract_algebra_test.csv in this folder"),
        ] {
            let refused = try Tool.run(command + options, in: scratch.path)
            #expect(refused.status != 0 && refused.error.contains(sentence), "\(options): \(refused.error)")
        }
    }

    @Test func `task files run through the cache or by likelihood, and options without an effect are refused`() throws {
        try model()
        for name in ["base.yaml", "generate.yaml", "choice.yaml", "same.yaml", "questions.jsonl", "dev.jsonl"] {
            try copy("harness/" + name, "harness/" + name)
        }
        func command(_ name: String) -> [String] { ["eval", "task", "harness/\(name).yaml", "run/model.h5", "--limit", "2"] }
        let generated = try Tool.run(command("generate") + ["--max-new", "3", "--out", "out", "--json"], in: scratch.path)
        let cache = try cache(generated)
        #expect((cache["overall"] as? [String: Any])?["n"] as? Int == 2)
        #expect((cache["further"] as? [String: Any])?["exact_match,last"] != nil)
        #expect(try run("eval", "rescore", "out").error.contains("0 scores changed"))
        let chosen = try json(Tool.run(command("choice") + ["--json"], in: scratch.path))
        let scores = try #require((chosen["models"] as? [[String: Any]])?.first?["scores"] as? [String: Double])
        #expect(Set(scores.keys) == ["acc", "acc_norm", "f1"])
        for (name, options, sentence) in [
            ("choice", ["--out", "folder"], "--out has no effect on kinds, whose choices are scored by likelihood"),
            ("choice", ["--cache", "full", "--dtype", "bf16"], "--dtype has no effect with --cache"),
            ("choice", ["--shots", "0", "--cache", "evict=tova,budget=16"], "nothing precedes the questions of kinds"),
            ("generate", ["--dtype", "bf16"], "--dtype has no effect on"),
            ("choice", ["--max-new", "3"], "--max-new has no effect"),
            ("same", ["--shots", "0", "--cache", "evict=tova,budget=16"], "nothing precedes the questions of names"),
            ("generate", ["--data", "test="], "--data 'test=' is empty"),
            ("generate", ["--data", "none.jsonl"], "none.jsonl: cannot open"), ("generate", ["--shots", "-1"], "--shots"),
        ] {
            let refused = try Tool.run(command(name) + options, in: scratch.path)
            #expect(refused.status != 0 && refused.error.contains(sentence), "\(name) \(options): \(refused.error)")
        }
    }
}
