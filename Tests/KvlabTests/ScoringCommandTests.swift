import Foundation
import TestSupport
import Testing

/// `kvlab eval score` and `kvlab eval passkey` as a user runs them.
@Suite struct ScoringCommandTests {
    private let scratch = ScratchDirectory()

    private func run(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(arguments, in: scratch.path) }

    private static let fixtures = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appendingPathComponent("EvaluationTests/Fixtures").path

    @Test func `predictions are scored line by line, the last line has the means`() throws {
        let outcome = try run("eval", "score", Self.fixtures + "/predictions.jsonl", "--json")
        #expect(outcome.status == 0, "\(outcome.error)")
        let lines = outcome.output.split(separator: "\n").map(String.init)
        #expect(lines.count == 11)
        #expect(lines[0] == #"{"id": "a", "score": 0.6666666666666666}"#)
        #expect(lines[5...9].allSatisfy { $0.contains("\"score\": 1.0") || $0.contains("\"score\": 0.5") })
        let last = try #require(try JSONSerialization.jsonObject(with: Data(lines[10].utf8)) as? [String: Any])
        let means = try #require(last["aggregate"] as? [String: Double])
        #expect(means["qasper"] == 66.67 && means["trec"] == 100 && means["ruler:vt"] == 50 && means["gsm8k:strict"] == 1)
        #expect((last["byLength"] as? [String: [String: Any]])?["qasper"]?["4-8k"] as? Double == 66.67)
        let table = try run("eval", "score", Self.fixtures + "/predictions.jsonl").output
        #expect(table.contains("qasper                66.67  1 case  0-4k –, 4-8k 66.67, 8k+ –\n"))
    }

    @Test func `faults are named with the file and the line`() throws {
        try scratch.write(
            Array("{\"id\": 1, \"dataset\": \"vcsum\", \"prediction\": \"a\", \"answers\": [\"a\"]}\n{".utf8), to: "a.jsonl")
        try scratch.write(
            Array("{\"id\": 1, \"dataset\": \"vcsum\", \"prediction\": \"a\", \"answers\": [\"a\"]}".utf8), to: "b.jsonl")
        for (arguments, sentence) in [
            (["a.jsonl"], "a.jsonl: line 2: not valid JSON"),
            (["b.jsonl"], "b.jsonl: line 1: 'vcsum' is scored on jieba's words"),
            (["b.jsonl", "--jieba", "."], "./finalseg"), (["none.jsonl"], "none.jsonl: cannot open"),
            (["b.jsonl", "--line-similarity", "x"], "--line-similarity"),
        ] {
            let outcome = try Tool.run(["eval", "score"] + arguments, in: scratch.path)
            #expect(outcome.status != 0 && outcome.output.isEmpty, "\(arguments)")
            if sentence == "./finalseg" {
                #expect(outcome.error.contains("./dict.txt: cannot open"), "\(outcome.error)")
            } else {
                #expect(outcome.error.contains(sentence), "\(outcome.error)")
            }
        }
        let jieba = try run("eval", "score", "b.jsonl", "--jieba", Self.fixtures + "/jieba", "--json")
        #expect(jieba.status == 0 && jieba.output.hasPrefix(#"{"id": 1, "score": 0.99"#), "\(jieba.error)\(jieba.output)")
    }

    /// Trains a model over bytes with 320 positions, `run/model.h5`.
    private func model() throws {
        try scratch.write(Array(String(repeating: "a few words of text ", count: 200).utf8), to: "text.txt")
        try scratch.write(
            Array(
                """
                {"name": "tiny", "tokenizer": {"kind": "byte"}, "data": {"files": ["text.txt"]},
                 "model": {"dim": 16, "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 320},
                 "train": {"steps": 1, "batch": 2, "seq": 32, "learningRate": 0.003}}
                """.utf8), to: "recipe.json")
        #expect(try run("train", "recipe.json", "--out", "run").status == 0)
    }

    @Test func `passkeys are evaluated over caches, and faults of the options are named`() throws {
        try model()
        let outcome = try run(
            "eval", "passkey", "run/model.h5", "--lengths", "300", "--depths", "2", "--trials", "1", "--cache", "full", "--cache",
            "dtype=bf16", "--max-new", "2", "--out", "out", "--html", "out.html", "--json")
        #expect(outcome.status == 0, "\(outcome.error)")
        let json = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let caches = try #require(json["caches"] as? [[String: Any]])
        #expect(caches.map { $0["spec"] as? String } == ["dtype=fp32", "dtype=bf16"])
        #expect(caches[1]["toReference"] is [String: Any] && caches[0]["bytesPerToken"] as? Double == 256)
        #expect(scratch.bytes("out/records.jsonl").count { $0 == 10 } == 4)
        #expect(String(decoding: scratch.bytes("out.html"), as: UTF8.self).contains("run, dtype=bf16"))
        let lines = try run(
            "eval", "passkey", "run/model.h5", "--lengths", "300", "--depths", "2", "--trials", "1", "--max-new", "2",
            "--progress", "json", "--out", "lines")
        #expect(lines.status == 0, "\(lines.error)")
        let records = String(decoding: scratch.bytes("lines/records.jsonl"), as: UTF8.self)
        #expect(lines.output.hasPrefix(records) && lines.output.dropFirst(records.count).contains(#""caches""#))
        #expect(lines.output.count { $0 == "\n" } == 3 && !lines.error.contains("examples"))
        for (options, sentence) in [
            (["--lengths", "300,x"], "--lengths is '300,x', expected different numbers from 1"),
            (["--lengths", "300,300"], "--lengths is '300,300'"), (["--depths", "0"], "--depths is 0, expected 1 to 1000"),
            (["--cache", "dtype=int99"], "--cache: 'int99' is no dtype, expected fp32"),
            (["--cache", "full", "--cache", "dtype=fp32"], "--cache: 'dtype=fp32' is named twice"),
            (["--lengths", "100"], "a length of 100 tokens is too short for a passkey prompt"),
            (["--lengths", "319"], "the prompt and its output take 3"), (["--concurrency", "0"], "--concurrency is 0"),
            (["--query-aware"], "--query-aware has no effect without a --cache that evicts"),
            (["--progress", "json", "--pretty"], "--pretty has no effect with --progress json"),
            (["--cache", "evict=h2o"], "--cache: "),
            (
                ["--out", "out", "--lengths", "300"],
                "out: holds an evaluation whose caches is dtype=fp32 dtype=bf16, not dtype=fp32"
            ),
        ] {
            let refused = try Tool.run(["eval", "passkey", "run/model.h5"] + options, in: scratch.path)
            #expect(
                refused.status != 0 && refused.output.isEmpty && refused.error.contains(sentence), "\(options): \(refused.error)")
        }
    }

    @Test func `a comparison recommends a cache and has tasks beside bits per byte, and faults of tasks are named`() throws {
        try model()
        #expect(try run("convert", "run/model.h5", "--kv-heads", "1", "--method", "mean", "--out", "mqa.h5").status == 0)
        let compare = ["compare", "run/model.h5", "mqa.h5", "--text", "text.txt", "--window", "64", "--limit-windows", "3"]
        let tasks = ["--tasks", "passkey:lengths=300,depths=2,trials=1,maxNew=2"]
        let shown = try Tool.run(compare + tasks + ["--within", "900", "--html", "c.html"], in: scratch.path)
        #expect(shown.status == 0, "\(shown.error)")
        #expect(shown.output.hasPrefix("The smallest cache within 900 % of tiny is that of mqa."), "\(shown.output)")
        for part in ["serve it  kvlab serve mqa.h5 --kv-dtype fp16", "passkey", "lost/gained", "No two caches are told apart"] {
            #expect(shown.output.contains(part), "\(part)")
        }
        let html = String(decoding: scratch.bytes("c.html"), as: UTF8.self)
        #expect(html.contains("Tasks beside bits per byte") && html.contains("class=\"answer\""))
        let json = try Tool.run(compare + tasks + ["--compression", "dtype=int8", "--json"], in: scratch.path)
        let object = try #require(
            try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [String: Any], "\(json.error)")
        let rows = (object["tasks"] as? [String: Any])?["rows"] as? [[String: Any]]
        #expect(rows?.map { $0["cache"] as? String } == ["dtype=fp16", "dtype=int8", "dtype=fp16", "dtype=int8"])
        for (options, sentence) in [
            (["--tasks", "passkeys"], "--tasks passkeys: 'passkeys' is no evaluation; they are passkey, needle"),
            (["--tasks", "passkey:depth=1"], "'depth' is no setting of passkey; its keys are haystack, lengths, depths"),
            (["--tasks", "passkey", "passkey"], "--tasks names 'passkey' twice"),
            (["--tasks", "passkey:lengths=319"], "positions; choose shorter prompts"),
            (["--tasks", "mmlu:data=none"], "none/test: line 1: no files such as abstract_algebra_test.csv"),
            (["--within=-1"], "--within is -1"),
        ] {
            let refused = try Tool.run(compare + options, in: scratch.path)
            #expect(
                refused.status != 0 && refused.output.isEmpty && refused.error.contains(sentence), "\(options): \(refused.error)")
        }
    }

    @Test(arguments: ["passkey", "needle", "babilong", "longbench", "ruler", "gsm8k", "mmlu", "task"])
    func `the settings of a recipe's tasks are the options of their commands`(name: String) throws {
        let keys = try run("help", "recipe", "lab.evaluation.tasks.\(name)").output.matches(of: #/(?m)^lab\S*\.([A-Za-z]+)  /#)
            .map(\.1)
        #expect(keys.count >= 4)
        let help = try run("eval", name, "--help").output
        // The task file stands alone on the command line.
        for key in keys where key != "file" && key != Substring(name) || name == "needle" && key == "needle" {
            let option = "--" + key.map { $0.isUppercase ? "-" + $0.lowercased() : String($0) }.joined()
            #expect(help.contains(option), "\(name) \(option)")
        }
    }

    @Test func `LongBench's records run with its own prompts, and a data file that was changed is refused`() throws {
        try model()
        func write(_ text: String, _ name: String) throws { try scratch.write(Array(text.utf8), to: name) }
        try write(#"{"qasper": "Read {context} {input}", "lcc": "{context}", "vcsum": "{context}"}"#, "dataset2prompt.json")
        try write(#"{"qasper": 2, "lcc": 3, "vcsum": 1}"#, "dataset2maxlen.json")
        let record =
            #"{"input": "q", "context": "\#(String(repeating: "c", count: 400))", "answers": ["x"], "all_classes": null}"#
        try write(record + "\n" + record, "qasper.jsonl")
        try write(record, "lcc.jsonl")
        let command = [
            "eval", "longbench", "run/model.h5", "--data", ".", "--config", ".", "--max-length", "200", "--out", "out",
        ]
        let outcome = try Tool.run(command + ["--json"], in: scratch.path)
        #expect(outcome.status == 0, "\(outcome.error)")
        let json = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        let groups = try #require((json["caches"] as? [[String: Any]])?.first?["groups"] as? [[String: Any]])
        #expect(groups.map { ($0["group"] as? [String: Any])?["dataset"] as? String } == ["lcc", "qasper"])
        #expect(groups.map { $0["n"] as? Int } == [1, 2])
        // The prompt's 200 tokens of the middle's two ends.
        #expect(String(decoding: scratch.bytes("out/records.jsonl"), as: UTF8.self).contains(#""promptTokens":200"#))
        #expect(try Tool.run(command, in: scratch.path).output.contains("qasper"))
        try write(record, "qasper.jsonl")
        for (options, sentence) in [
            ([], "out: holds an evaluation whose file qasper.jsonl is "),
            (["--tasks", "qasper,x"], "--tasks has 'x'; the data sets are "),
            (["--tasks", "vcsum"], "name its folder with --jieba"), (["--max-length", "1"], "--max-length is 1"),
            (["--data", "run"], "--data run has none of LongBench's files"),
        ] {
            let refused = try Tool.run(command + options, in: scratch.path)
            #expect(refused.status != 0 && refused.error.contains(sentence), "\(options): \(refused.error)")
        }
    }
}
