import Foundation
import TestSupport
import Testing

/// The commands of the documentation, run page by page over small models and texts of the names that the page has.
@Suite(.enabled(if: Tool.path != nil, "kvlab is not built beside the tests"))
struct DocumentedCommandTests {
    private static let pages = ShellLines.pages.filter { page in
        ShellLines.blocks(page.text, "").joined().contains { $0.hasPrefix("kvlab ") }
    }.map(\.name)

    /// Options that shorten a command, by its beginning; a later option takes the place of an earlier one.
    private static let shortened = [
        "lab data/smollm2.gguf": ["--uptrain-tokens", "1k"], "lab model.gguf": ["--uptrain-tokens", "1k"],
        "bench serve": ["--requests", "4", "--rounds", "1"], "bench engine": ["--rounds", "1"],
        "bench train": ["--shape", "T0", "--steps", "1", "--step-only"],
        "lab recipes/compression.json": [
            "--set", "lab.compression=[{\"evict\": \"tova\", \"budget\": 16}, {\"kvDtype\": \"int8\"}]",
        ],
        "convert runs/short/model.h5 --method mla": ["--rank", "16"],
        "convert runs/short/model.h5 --budget-bytes-per-token": ["--budget-bytes-per-token", "400"],
        "heads gqa2.h5 --text": ["--steps", "2", "--passkeys", "1"],
        "codecs": ["--limit-windows", "1", "--window", "40"],
        "advise": [
            "--budget-bytes-per-token", "200", "--limit-windows", "1", "--kv-dtype", "int8", "--evict", "tova", "--evict",
            "knorm",
        ],
        "eval babilong parent.h5 --babi": ["--tasks", "qa1", "--limit", "1"],
        "eval ruler parent.h5 --lengths": [
            "--lengths", "300", "--tasks", "niah_single_2", "--limit", "1", "--max-new", "8",
        ], "eval longbench2": ["--max-length", "100", "--max-new", "2"],
        "eval passkey": ["--depths", "2", "--trials", "1"], "eval needle": ["--depths", "2", "--trials", "1"],
    ]

    private let scratch = ScratchDirectory()

    @Test(arguments: pages)
    func `every command of a page does its work on small models`(page: String) async throws {
        try await prepare()
        let text = try #require(ShellLines.pages.first { $0.name == page }).text
        for words in ShellLines.blocks(text, "").joined().map(ShellLines.words) {
            // A file that the page makes itself is not there before.
            if let out = words.firstIndex(of: "--out") { try? FileManager.default.removeItem(atPath: scratch[words[out + 1]]) }
        }
        var server: (process: Process, port: String)?
        for line in ShellLines.blocks(text, "").joined() {
            var words = ShellLines.words(line).filter { $0 != "&" }
            if words.first == "curl", let server, FileManager.default.isExecutableFile(atPath: "/usr/bin/curl") {
                words = words.map { $0.replacing("localhost:8000", with: "127.0.0.1:\(server.port)") }
                let answer = try await Tool.finish(Array(words.dropFirst()), of: "/usr/bin/curl", in: scratch.path)
                #expect(answer.status == 0 && answer.output.contains("[DONE]"), "\(page): \(line)\n\(answer)")
            }
            guard words.first == "kvlab" else { continue }
            words.removeFirst()
            let command = words.joined(separator: " ")
            words += Self.shortened.first { command.hasPrefix($0.key) }?.value ?? []
            // Pages run side by side, and beside other tests.
            if ["lab", "train", "convert", "compare", "advise", "codecs"].contains(words[0]) { words += ["--threads", "1"] }
            if words.first == "serve" {
                if let server { try stop(server.process) }
                server = try await serve(words)
            } else {
                let outcome = try await Tool.finish(words, in: scratch.path)
                #expect(outcome.status == 0, "\(page): \(line)\n\(outcome.error)")
            }
        }
        if let server { try stop(server.process) }
    }

    /// Starts the server on a port of its own; returns once it takes connections.
    private func serve(_ words: [String]) async throws -> (process: Process, port: String) {
        let process = try Tool.process(words + ["--port", "0"], in: scratch.path)
        for name in ["stdout", "stderr"] { try scratch.write([], to: name) }
        process.standardOutput = FileHandle(forWritingAtPath: scratch["stdout"])
        process.standardError = FileHandle(forWritingAtPath: scratch["stderr"])
        try process.run()
        while process.isRunning {
            let output = String(decoding: scratch.bytes("stdout"), as: UTF8.self)
            if let match = output.firstMatch(of: /serving .*:(\d+)\n/) { return (process, String(match.1)) }
            try await Task.sleep(for: .milliseconds(20))
        }
        throw ServerEnded(error: String(decoding: scratch.bytes("stderr"), as: UTF8.self))
    }

    private struct ServerEnded: Error { let error: String }

    private func stop(_ process: Process) throws {
        process.terminate()
        process.waitUntilExit()
        #expect(process.terminationReason == .exit && process.terminationStatus == 0)
    }

    /// Writes the files that the pages' commands read: small texts and recipes, and models trained for four steps.
    private func prepare() async throws {
        for folder in ["data", "recipes", "LongBench/data", "LongBench/config"] {
            try FileManager.default.createDirectory(atPath: scratch[folder], withIntermediateDirectories: true)
        }
        let prose = ShellLines.pages.map(\.text).sorted().joined(separator: "\n").prefix(16_000)
        for name in ["data/bible.txt", "corpus.txt", "alice.txt"] { try scratch.write(prose.utf8, to: name) }
        let fixtures = [
            "predictions.jsonl": "predictions.jsonl", "jieba": "jieba", "prompts.py": "suites/prompts.py",
            "babilong/prompts.py": "suites/prompts.py", "babilong/0k/qa1.json": "suites/babilong.json",
            "babilong/0k/qa2.json": "suites/babilong.json", "babilong/1k/qa1.json": "suites/babilong.json",
            "babilong/1k/qa2.json": "suites/babilong.json", "tasks_1-20_v1-2/en/qa1_single_test.txt": "suites/babi.txt",
            "constants.py": "suites/constants.py", "LongBench-v2/data.json": "suites/longbench2.json",
            "LongBench/prompts/0shot.txt": "suites/0shot.txt",
            "synthetic/4096/data/niah_single_1/validation.jsonl": "suites/ruler.jsonl",
            "synthetic/4096/data/vt/validation.jsonl": "suites/ruler.jsonl", "mmlu/test/anatomy_test.csv": "suites/mmlu.csv",
            "base.yaml": "harness/base.yaml", "arc.yaml": "harness/choice.yaml",
            "arc_easy.yaml": "harness/choice.yaml", "arc.jsonl": "harness/questions.jsonl", "dev.jsonl": "harness/dev.jsonl",
            "questions.jsonl": "harness/questions.jsonl", "chats.jsonl": "suites/dialogue.jsonl",
        ]
        for (name, fixture) in fixtures {
            let folder = URL(fileURLWithPath: scratch[name]).deletingLastPathComponent()
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
            try FileManager.default.copyItem(
                atPath: ShellLines.root.appending(path: "Tests/EvaluationTests/Fixtures/" + fixture).path, toPath: scratch[name])
        }
        let questions = String(decoding: scratch.bytes("mmlu/test/anatomy_test.csv"), as: UTF8.self)
        try FileManager.default.createDirectory(atPath: scratch["mmlu/dev"], withIntermediateDirectories: true)
        try scratch.write(String(repeating: questions, count: 3).utf8, to: "mmlu/dev/anatomy_dev.csv")
        let sum = ##"{"question": "What is 1 + 1?", "answer": "1 + 1 is 2.\n#### 2"}"## + "\n"
        for name in ["test.jsonl", "train.jsonl", "triviaqa.jsonl"] { try scratch.write((sum + sum).utf8, to: name) }
        let task = """
            output_type: generate_until
            doc_to_text: "Q: {{question}}\\nA:"
            doc_to_target: "{{answer.split('####')[-1].strip() if answer is defined else target}}"
            generation_kwargs: {until: ["Q:"], max_gen_toks: 4}
            metric_list: [{metric: exact_match}]

            """
        try scratch.write(
            (task + "task: triviaqa\ndataset_path: json\ntraining_split: train\nvalidation_split: validation\nnum_fewshot: 1\n")
                .utf8,
            to: "triviaqa.yaml")
        let filters = ["strict-match", "flexible-extract"].map { name in
            "  - {name: \(name), filter: [{function: regex, regex_pattern: '(-?[0-9]+)'}, {function: take_first}]}\n"
        }
        try scratch.write(
            (task + "task: gsm8k_cot\ndataset_path: gsm8k\ntest_split: test\nfilter_list:\n" + filters.joined()
                + "num_fewshot: 1\nfewshot_config: {sampler: first_n, samples: [{question: What is 2 + 2?, target: It is 4.}]}\n")
                .utf8,
            to: "gsm8k-cot.yaml")
        try scratch.write(
            Data(#"{"body": "\#(String(repeating: "A held-out text of some words. ", count: 40))"}"#.utf8), to: "heldout.jsonl")
        _ = try await Tool.finish(["heldout.jsonl"], of: "/bin/gzip", in: scratch.path)
        try scratch.write(
            #"{"sentence_good": "The cat sleeps.", "sentence_bad": "The cat sleep."}"#.utf8, to: "pairs.jsonl")
        let record = """
            {"input": "Where?", "context": "In Paris. ", "answers": ["Paris"], "length": 2, "dataset": "NAME", "language": "en", \
            "all_classes": null, "_id": "1"}
            """
        for name in ["hotpotqa", "lcc"] {
            try scratch.write(record.replacing("NAME", with: name).utf8, to: "LongBench/data/\(name).jsonl")
        }
        try scratch.write(
            #"{"hotpotqa": "{context}{input}", "lcc": "{context}{input}"}"#.utf8, to: "LongBench/config/dataset2prompt.json")
        try scratch.write(#"{"hotpotqa": 4, "lcc": 4}"#.utf8, to: "LongBench/config/dataset2maxlen.json")

        func recipe(_ name: String, _ changes: String) throws {
            let original = ShellLines.root.appending(path: "recipes/\(name).json").path
            try scratch.write(#"{"extends": "\#(original)", \#(changes)}"#.utf8, to: "recipes/\(name).json")
        }
        let training = #""train": {"steps": 20, "batch": 1, "seq": 32, "warmupSteps": 2, "validateEvery": 10, "dtype": "fp32"}"#
        let small = """
            "tokenizer": {"vocabSize": 512}, "model": {"dim": 64, "layers": 2, "ffn": 64}, \(training)
            """
        let children = #""children": [{"kvHeads": 2, "method": "mean"}, {"kvHeads": 1, "method": "learned"}]"#
        try recipe("quickstart", #"\#(small), "lab": {\#(children)}"#)
        try recipe("compression", small)
        try recipe("gqa-methods", #"\#(small), "lab": {"sweep": {"kvHeads": [1], "seeds": [1], "calibrationTokens": 2048}}"#)
        try recipe(
            "smollm2",
            """
            "train": {"warmupSteps": 0}, "lab": {"tokens": 256, "batch": 4, "seq": 32, "evaluation": {"window": 32}, "children": [
              {"kvHeads": 1, "method": "learned"},
              {"name": "mla-half", "attention": {"kind": "mla", "rank": 12, "ropeHeadDim": 4}}]}
            """)
        try scratch.write(
            """
            {"name": "given", "tokenizer": {"kind": "bpe", "vocabSize": 512}, "data": {"files": ["data/bible.txt"]},
             "model": {"dim": 48, "layers": 2, "heads": 6, "kvHeads": 3, "ffn": 64, "maxSeq": 4096},
             "train": {"steps": 4, "batch": 1, "seq": 32, "learningRate": 0.003}}
            """.utf8, to: "given.json")
        let commands = [
            ["train", "given.json", "--out", "given"],
            ["export", "given/model.h5", "--format", "gguf", "--out", "model.gguf"],
            ["convert", "given/model.h5", "--kv-heads", "1", "--method", "mean", "--out", "gqa2.h5"],
        ]
        for command in commands {
            let outcome = try await Tool.finish(command, in: scratch.path)
            try #require(outcome.status == 0, "\(command): \(outcome.error)")
        }
        let copies = [
            "data/smollm2.gguf": "model.gguf", "parent.h5": "given/model.h5", "kv2-mean.h5": "gqa2.h5", "kv1-mean.h5": "gqa2.h5",
            "mha.h5": "given/model.h5", "mqa.h5": "gqa2.h5",
        ]
        for (copy, original) in copies {
            try FileManager.default.copyItem(atPath: scratch[original], toPath: scratch[copy])
        }
    }
}
