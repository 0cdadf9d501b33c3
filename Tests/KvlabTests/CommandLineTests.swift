import Foundation
import TestSupport
import Testing

/// The built tool as a user runs it, beside the test bundle.
@Suite struct CommandLineTests {
    private let scratch = ScratchDirectory()

    private func run(_ arguments: String...) throws -> Tool.Outcome { try run(arguments) }

    private func run(_ arguments: [String]) throws -> Tool.Outcome { try Tool.run(arguments, in: scratch.path) }

    private func recipe(steps: Int = 6) throws {
        let text = (0..<600).map { "line \($0 % 17) of \($0 % 5) and \($0 % 3)\n" }.joined()
        try scratch.write(Array(text.utf8), to: "text.txt")
        try scratch.write(
            Array(
                """
                {"name": "tiny", "tokenizer": {"kind": "byte"}, "data": {"files": ["text.txt"]},
                 "model": {"dim": 16, "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 64},
                 "train": {"steps": \(steps), "batch": 2, "seq": 32, "learningRate": 0.003}}
                """.utf8), to: "recipe.json")
    }

    @Test func `a report that is there is refused before any work, and written over with --force`() throws {
        try scratch.write(Array("mine".utf8), to: "report.html")
        let html = ["--html", "report.html"]
        let commands = [
            ["compare", "none.h5", "--text", "none.txt"],
            ["advise", "none.h5", "--text", "none.txt", "--context", "32", "--budget-bytes-per-token", "9"],
            ["bench", "serve", "none.h5"], ["eval", "passkey", "none.h5", "--lengths", "64"], ["eval", "rescore", "none"],
        ]
        for command in commands {
            let refused = try run(command + html)
            #expect(
                refused.status != 0 && refused.error.contains("report.html is there already; --force writes over it"),
                "\(command) \(refused.error)")
            // Gone on with as far as the files that aren't there.
            let forced = try run(command + html + ["--force"])
            #expect(forced.status != 0 && forced.error.contains("none"), "\(command) \(forced.error)")
            let lost = try run(command + ["--html", "nowhere/report.html"])
            #expect(lost.error.contains("there is no folder"), "\(command) \(lost.error)")
            let idle = try run(command + ["--force"])
            #expect(idle.error.contains("--force writes over the file of --html; name one"), "\(command) \(idle.error)")
        }
        #expect(scratch.bytes("report.html") == Array("mine".utf8))
    }

    @Test func `heads are measured once, and a file of scores is refused for another model`() throws {
        try recipe(steps: 3)
        #expect(try run("train", "recipe.json", "--out", "other").status == 0)
        try recipe()
        #expect(try run("train", "recipe.json", "--out", "run").status == 0)
        #expect(try run("convert", "run/model.h5", "--kv-heads", "1", "--method", "mean", "--out", "mqa.h5").status == 0)
        let measured = try run("heads", "run/model.h5", "--method", "razor-attention", "--out", "heads.json", "--json")
        #expect(measured.status == 0 && measured.output.contains(#""induction":[["#), "\(measured.error)")
        let cache = [
            "--text", "text.txt", "--window", "32", "--through-cache", "--prefill", "16", "--evict", "razor-attention",
            "--kv-budget", "50%", "--kv-sinks", "1", "--kv-recent", "2", "--kv-scores", "heads.json", "--json",
        ]
        let scored = try run(["eval", "ppl", "run/model.h5"] + cache)
        let json = try #require(try JSONSerialization.jsonObject(with: Data(scored.output.utf8)) as? [String: Any])
        // Of eight heads (8 - 3) / (16 - 3) are whole, three: 16 slots of these, 3 of the others, and 15 behind the prompt.
        #expect(json["slotsKept"] as? Double == Double(3 * 16 + 5 * 3) / 8 + 15, "\(scored.output)\(scored.error)")
        for model in ["mqa.h5", "other/model.h5"] {
            let refused = try run(["eval", "ppl", model] + cache)
            let sentence = "heads.json: measured on a model whose key projections have the SHA-256 "
            #expect(refused.status != 0 && refused.error.contains(sentence), "\(refused.error)")
        }
        for (arguments, sentence) in [
            (["heads", "run/model.h5", "--out", "x.json"], "duo-attention needs --text"),
            (
                ["heads", "run/model.h5", "--method", "razor-attention", "--steps", "3", "--out", "x.json"],
                "--steps means nothing for razor-attention"
            ),
            (
                [
                    "capacity", "mqa.h5", "--context", "32", "--evict", "razor-attention", "--kv-budget", "50%", "--kv-scores",
                    "heads.json",
                ], "with [4, 4] KV heads; the model keeps whole caches in layers [0, 1] with [1, 1] KV heads"
            ),
            (
                ["capacity", "run/model.h5", "--context", "32", "--evict", "duo-attention", "--kv-budget", "9"],
                "--evict duo-attention needs --kv-scores"
            ),
            (
                [
                    "capacity", "run/model.h5", "--context", "32", "--evict", "duo-attention", "--kv-budget", "400",
                    "--kv-scores", "heads.json",
                ], "heads.json: scores for 'razor-attention', which 'duo-attention' does not go by"
            ),
        ] {
            let refused = try run(arguments)
            #expect(refused.status != 0 && refused.error.contains(sentence), "\(refused.error)")
        }
    }

    @Test func `the pipeline runs from the shell: train, convert, eval, compare, generate, inspect, export`() throws {
        try recipe()
        let trained = try run("train", "recipe.json", "--out", "run", "--json")
        #expect(trained.status == 0, "\(trained.error)")
        #expect(trained.output.contains(#""step":6"#))
        let converted = try run("convert", "run/model.h5", "--kv-heads", "1", "--method", "mean", "--out", "mqa.h5")
        #expect(
            converted.status == 0 && converted.output.contains("128 → 32 bytes per token in fp16"),
            "\(converted.error)\(converted.output)")
        let scored = try run("eval", "ppl", "run/model.h5", "--text", "text.txt", "--window", "32", "--json")
        let json = try #require(try JSONSerialization.jsonObject(with: Data(scored.output.utf8)) as? [String: Any])
        for key in ["perplexity", "bitsPerByte", "tokensScored", "nll"] { #expect(json[key] is NSNumber, "\(key)") }
        let compared = try run("compare", "run/model.h5", "mqa.h5", "--text", "text.txt", "--window", "32")
        #expect(
            compared.status == 0 && compared.output.contains("MQA") && compared.output.contains("KL (nats)"), "\(compared.error)")
        let frontier = try run(
            "compare", "run/model.h5", "mqa.h5", "--text", "text.txt", "--window", "32", "--kv-dtype", "fp32", "--compression",
            "evict=knorm,budget=8,dtype=int8", "--html", "caches.html", "--json")
        let caches = try #require(try JSONSerialization.jsonObject(with: Data(frontier.output.utf8)) as? [String: Any])
        let rows = try #require(caches["rows"] as? [[String: Any]], "\(frontier.error)")
        #expect(rows.compactMap { $0["kvDtype"] as? String } == ["fp32", "int8", "fp32", "int8"])
        #expect(rows[0]["klToParent"] as? Double == 0 && caches["promptTokens"] as? Int == 16)
        // The first model's figures are those of `eval ppl` through the same cache.
        let cached = try run(
            "eval", "ppl", "run/model.h5", "--text", "text.txt", "--window", "32", "--through-cache", "--prefill", "16",
            "--evict",
            "knorm", "--kv-budget", "8", "--kv-dtype", "int8", "--json")
        let alone = try #require(try JSONSerialization.jsonObject(with: Data(cached.output.utf8)) as? [String: Any])
        #expect(alone["klToFull"] as? Double == rows[1]["klToParent"] as? Double)
        #expect(alone["bitsPerByte"] as? Double == rows[1]["bitsPerByte"] as? Double)
        let generated = try run("generate", "run/model.h5", "--prompt", "line", "--max-tokens", "8", "--seed", "3")
        #expect(generated.status == 0 && generated.output.hasPrefix("line"))
        #expect(
            try run("generate", "run/model.h5", "--prompt", "line", "--max-tokens", "8", "--seed", "3").output == generated.output
        )
        #expect(try run("inspect", "mqa.h5").output.contains("model.layers.0.self_attn.k_proj.weight"))
        #expect(try run("export", "mqa.h5", "--format", "hf", "--out", "hf").status == 0)
        #expect(try run("import", "hf", "--out", "again.h5").status == 0)
    }

    @Test func `runs are listed, shown, told apart, traced and cleaned up`() throws {
        try recipe()
        #expect(try run("train", "recipe.json", "--out", "runs/a").status == 0)
        #expect(try run("train", "recipe.json", "--set", "train.learningRate=0.001", "--out", "runs/deep/b").status == 0)
        #expect(try run("convert", "runs/a/model.h5", "--kv-heads", "2", "--method", "mean", "--out", "runs/two.h5").status == 0)
        let list = try run("runs", "list")
        #expect(list.status == 0 && list.output.contains("deep/b") && list.output.contains("finished"), "\(list.error)")
        #expect(list.output.contains("attention  cache B/token") && list.output.contains(" MHA "), "\(list.output)")
        let json = try run("runs", "list", "--json", "--rebuild")
        let runs = try #require(try JSONSerialization.jsonObject(with: Data(json.output.utf8)) as? [[String: Any]])
        #expect(runs.map { $0["path"] as? String } == ["a", "deep/b"])
        #expect(try run("runs", "show", "b").output.contains("bits per byte held out"))
        let difference = try run("runs", "diff", "a", "b")
        #expect(difference.output.contains("train.learningRate:  0.003  →  0.001"), "\(difference.error)")
        let lineage = try run("runs", "lineage", "a")
        #expect(lineage.output.contains("two.h5, mean, 4 to 2 KV heads"), "\(lineage.output)\(lineage.error)")
        let unknown = try run("runs", "show", "c")
        #expect(unknown.status != 0 && unknown.error.contains("no run under runs goes by 'c'; there are a, deep/b"))
        #expect(try run("runs", "gc").output.contains("2 files"))
        #expect(try run("runs", "gc", "--delete").output.contains("deleted 2 files"))
        #expect(try run("runs", "gc").output.contains("0 files"))
        let again = try run("train", "recipe.json", "--out", "runs/a")
        #expect(again.status != 0 && again.error.contains("holds a finished run"))
    }

    @Test func `SIGTERM finishes the step, saves and says how to resume; resuming gives the uninterrupted model`() throws {
        try recipe(steps: 2000)
        #expect(try run("train", "recipe.json", "--out", "whole").status == 0)
        let process = try Tool.process(["train", "recipe.json", "--out", "parts"], in: scratch.path)
        _ = FileManager.default.createFile(atPath: scratch["err"], contents: nil)
        process.standardError = FileHandle(forWritingAtPath: scratch["err"])
        try process.run()
        while (try? Data(contentsOf: URL(fileURLWithPath: scratch["parts/metrics.jsonl"])).count) ?? 0 < 200, process.isRunning {
            usleep(2000)
        }
        process.terminate()
        process.waitUntilExit()
        let told = String(decoding: scratch.bytes("err"), as: UTF8.self)
        #expect(process.terminationStatus == 143, "\(told)")
        #expect(told.contains("Resume with: kvlab train recipe.json --out parts --resume"))
        #expect(try run("train", "recipe.json", "--out", "parts", "--resume").status == 0)
        #expect(scratch.bytes("parts/model.h5") == scratch.bytes("whole/model.h5"))
    }

    @Test func `a run is not resumed over another text, unless by force, which its lineage tells`() throws {
        try recipe()
        #expect(try run("train", "recipe.json", "--out", "run").status == 0)
        var text = scratch.bytes("text.txt")
        text[0] = UInt8(ascii: "L")
        try scratch.write(text, to: "text.txt")
        let refused = try run("train", "recipe.json", "--out", "run", "--resume")
        #expect(
            refused.status == 1 && refused.error.contains("text.txt ('data.files[0]') has changed since run was begun"),
            "\(refused.error)")
        #expect(refused.error.split { !$0.isHexDigit }.count { $0.count == 64 } == 2, "both digests")
        #expect(try run("train", "recipe.json", "--out", "run", "--force").error.contains("give --resume too"))
        let forced = try run("train", "recipe.json", "--out", "run", "--resume", "--force")
        #expect(forced.status == 0 && forced.error.contains("text.txt has changed; going on with it"), "\(forced.error)")
        let shown = try run("inspect", "run/model.h5").output
        #expect(shown.contains("input data.files[0]: text.txt, SHA-256 "), "\(shown)")
        #expect(shown.contains("input data.files[0] changed after 6 steps, text.txt: SHA-256 "), "\(shown)")
    }

    @Test func `two runs cannot share a directory`() throws {
        try recipe(steps: 100_000)
        let process = try Tool.process(["train", "recipe.json", "--out", "run"], in: scratch.path)
        try process.run()
        while !FileManager.default.fileExists(atPath: scratch["run/metrics.jsonl"]), process.isRunning { usleep(2000) }
        let second = try run("train", "recipe.json", "--out", "run")
        kill(process.processIdentifier, SIGKILL)
        process.waitUntilExit()
        #expect(second.status != 0)
        #expect(
            second.error.contains("run/lock: in use by") && second.error.contains("\(process.processIdentifier)"),
            "\(second.error)")
    }

    @Test func `a dry run prints the resolved recipe and what it will take, and trains nothing`() throws {
        try recipe()
        let outcome = try run("train", "recipe.json", "--dry-run", "--out", "run")
        #expect(outcome.status == 0)
        for word in ["\"weightDecay\" : 0.1", "parameters", "FLOPs", "memory", "estimated time"] {
            #expect(outcome.output.contains(word))
        }
        #expect(!FileManager.default.fileExists(atPath: scratch["run"]))
    }

    @Test func `wrong input ends with one clear sentence and a code that is not 0`() throws {
        try recipe()
        try scratch.write([0x61, 0xff, 0x62], to: "bad.txt")
        try scratch.write([], to: "empty.txt")
        #expect(try run("train", "recipe.json", "--out", "run").status == 0)
        let cases: [([String], String)] = [
            (["train", "nowhere.json"], "nowhere.json: cannot read the recipe: no such file"),
            (["train", "recipe.json", "--set", "train.stepz=3"], "did you mean 'train.steps'?"),
            (["train", "recipe.json", "--set", "model.kvHeads=3"], "4 heads cannot share 3 KV heads evenly"),
            (
                ["train", "recipe.json", "--set", "train.batch=5000"],
                "--set train.batch=5000: 'train.batch': a batch of 5000"
            ),
            (["train", "recipe.json", "--set", "data.files=[\"bad.txt\"]"], "bad.txt"),
            (["train", "recipe.json", "--set", "data.files=[\"empty.txt\"]"], "empty.txt"),
            (["train", "recipe.json", "--out", "run"], "run holds a run already"),
            (["convert", "run/model.h5", "--kv-heads", "3", "--out", "x.h5"], "4 KV heads cannot form 3 equal groups"),
            (["convert", "text.txt", "--kv-heads", "2", "--out", "x.h5"], "text.txt"),
            (
                ["convert", "run/model.h5", "--kv-heads", "2", "--method", "magic", "--out", "x.h5"],
                "no conversion method 'magic'"
            ),
            (["convert", "run/model.h5", "--out", "x.h5"], "'aligned' needs --kv-heads or --budget-bytes-per-token"),
            (
                ["convert", "--rank", "8", "run/model.h5", "--kv-heads", "2", "--out", "x.h5"],
                "--rank means nothing for 'aligned'"
            ),
            (
                ["convert", "run/model.h5", "--kv-heads", "2", "--method", "svd", "--no-refinement", "--out", "x.h5"],
                "--no-refinement means nothing for 'svd'"
            ),
            (
                ["convert", "run/model.h5", "--method", "hybrid", "--window", "0", "--full-every", "2", "--out", "x.h5"],
                "--window is 0, expected at least 1"
            ),
            (
                ["convert", "run/model.h5", "--method", "mla", "--rank", "8", "--budget-bytes-per-token", "99", "--out", "x.h5"],
                "--rank means nothing for 'mla' with a budget"
            ),
            (
                ["convert", "run/model.h5", "--method", "mla", "--rank", "8", "--out", "x.h5"],
                "method 'mla' works on the model's activations"
            ),
            (
                ["convert", "run/model.h5", "--kv-heads", "2", "--grouping", "alike", "--out", "x.h5"],
                "--grouping is 'alike', expected one of contiguous, similarity, activation"
            ),
            (["eval", "ppl", "run/model.h5", "--text", "bad.txt"], "bad.txt: not UTF-8: invalid byte at offset 1"),
            (["eval", "ppl", "run/model.h5", "--text", "empty.txt"], "empty.txt: the file is empty"),
            (["eval", "ppl", "run/model.h5", "--text", "text.txt", "--window", "900"], "a window of 900 tokens does not fit"),
            (["eval", "ppl", "run/model.h5", "--text", "text.txt", "--bos", "always"], "has no BOS token; use --bos never"),
            (["compare", "run/none.h5", "--text", "text.txt"], "run/none.h5: cannot open: No such file or directory"),
            (
                [
                    "advise", "run/model.h5", "--text", "text.txt", "--context", "32", "--budget-bytes-per-token", "1",
                    "--kv-dtype", "int8", "--evict", "knorm",
                ], "no cache takes 1.0 bytes a token; the leanest, dtype=int8 of tiny, takes"
            ),
            (
                [
                    "advise", "run/model.h5", "--text", "text.txt", "--context", "32", "--budget-bytes-per-token", "9", "--evict",
                    "x",
                ],
                "--evict: there is no eviction policy 'x', expected one of streaming-llm"
            ),
            (
                ["compare", "run/model.h5", "--text", "text.txt", "--compression", "evict=h2o"],
                "--compression: --evict h2o needs --kv-budget"
            ),
            (
                ["compare", "run/model.h5", "--text", "text.txt", "--compression", "dtype=int8", "--compression", "dtype=int8"],
                "--compression: 'dtype=int8' is named twice"
            ),
            (
                ["compare", "run/model.h5", "--text", "text.txt", "--window", "32", "--compression", "dtype=q8_0"],
                "'--compression dtype=q8_0': tiny: q8_0 stores blocks of 32 elements"
            ),
            (
                ["compare", "run/model.h5", "--text", "text.txt", "--compression", "dtype=int8", "--batch", "2"],
                "--batch has no effect with --compression"
            ),
            (
                ["compare", "run/model.h5", "--text", "text.txt", "--prefill", "2"],
                "--prefill has no effect without --compression"
            ),
            (["generate", "run/model.h5", "--prompt", "x", "--top-p", "2"], "--top-p must be above 0 and at most 1"),
            (["lab", "recipe.json"], "has no 'lab' section"),
            (["estimate", "recipe.json"], "recipe.json"),
        ]
        for (arguments, sentence) in cases {
            let outcome = try run(arguments)
            #expect(outcome.status != 0, "\(arguments)")
            #expect(outcome.error.contains(sentence), "\(arguments): \(outcome.error)")
            #expect(!outcome.error.contains("Fatal error") && outcome.output.isEmpty, "\(arguments): \(outcome.output)")
        }
    }

    @Test func `conversions to another attention take the settings that their methods declare`() throws {
        try recipe()
        #expect(try run("train", "recipe.json", "--out", "run").status == 0)
        let converted = try run(
            "convert", "--method", "hybrid", "run/model.h5", "--window", "8", "--full-every", "2", "--sinks", "1",
            "--no-refinement",
            "--calibration", "text.txt", "--out", "hybrid.h5", "--json")
        let json = try #require(try JSONSerialization.jsonObject(with: Data(converted.output.utf8)) as? [String: Any])
        #expect(json["refined"] as? Bool == false && json["attentionAfter"] as? String == "MHA w8+1, 1 of 2 full", "\(converted)")
        #expect(try run("inspect", "hybrid.h5").output.contains("conversion: hybrid on "))
        let latent = try run(
            "convert", "run/model.h5", "--method", "mla", "--rank", "6", "--calibration", "text.txt", "--out", "mla.h5")
        #expect(latent.status == 0 && latent.output.contains("MHA → MLA-6"), "\(latent.error)")
        let help = try run("convert", "--help").output.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
        for part in [
            "--rank <rank> mla: elements of the latent", "yoco, hybrid: tokens that a windowed layer sees",
            "--no-refinement mla,",
        ] {
            #expect(help.contains(part), "\(help)")
        }
    }

    @Test func `help shows commands' manuals and recipes' keys, with a schema of these for editors`() throws {
        let key = try run("help", "recipe", "train.accumulation")
        #expect(key.status == 0 && key.output.hasPrefix("train.accumulation  integer, default 1\n"), "\(key)")
        let schema = try run("help", "recipe", "--schema")
        let json = try #require(try JSONSerialization.jsonObject(with: Data(schema.output.utf8)) as? [String: Any])
        #expect(json["$schema"] as? String == "https://json-schema.org/draft/2020-12/schema")
        #expect(schema.output.split(separator: "\n").count == 1)
        #expect(try run("help", "eval", "ppl").output == run("eval", "ppl", "--help").output)
        #expect(try run("help").output == run("--help").output)
        for (topic, sentence) in [
            (["recipe", "trian"], "recipes have no key 'trian'; 'kvlab help recipe' shows all of them"),
            (["trian"], "kvlab has no command 'trian'; there are tokenizer, text, import, train,"),
            (["eval", "pll"], "'eval' has no command 'pll'; there are ppl,"),
            (["train", "--schema"], "--schema is for 'kvlab help recipe'"),
        ] {
            let refused = try run(["help"] + topic)
            #expect(refused.status == 64 && refused.error.contains(sentence), "\(refused.error)")
        }
    }

    @Test func `encodings chosen by layer are taken by every command, and a budget only by the one that chooses`() throws {
        try recipe()
        #expect(try run("train", "recipe.json", "--out", "run", "--threads", "1").status == 0)
        let windows = ["--text", "text.txt", "--window", "32", "--limit-windows", "1", "--json"]
        let chosen = try run(["codecs", "run/model.h5", "--context", "64", "--kv-bits-budget", "190"] + windows)
        let report = try #require(
            try JSONSerialization.jsonObject(with: Data(chosen.output.utf8)) as? [String: Any], "\(chosen.error)")
        let choice = try #require((report["choices"] as? [[String: Any]])?.first)
        let cache = try #require(choice["cache"] as? [String: Any])
        let (name, page) = (try #require(cache["kvDtype"] as? String), try #require(cache["pageBytes"] as? Int))
        #expect(try #require(cache["bytesPerToken"] as? Double) <= 190 && (choice["layers"] as? [Any])?.count == 2)
        #expect((report["textSHA256"] as? String)?.count == 64 && cache["klHeldOut"] is Double)
        let scored = try run(
            ["eval", "ppl", "run/model.h5", "--through-cache", "--kv-dtype", name, "--page", "\(page)"] + windows)
        let json = try #require(
            try JSONSerialization.jsonObject(with: Data(scored.output.utf8)) as? [String: Any], "\(scored.error)")
        #expect(json["kvDtype"] as? String == name)
        #expect(abs(try #require(json["klToFull"] as? Double) - (try #require(cache["klToFull"] as? Double))) < 1e-6)
        let mixed = ["--kv-dtype", "int8+kivi4:0"]
        for command in [
            ["verify", "run/model.h5", "--tokens", "60"], ["estimate", "run/model.h5"],
            ["capacity", "run/model.h5", "--kv-memory", "1MiB", "--context", "60"],
            ["bench", "engine", "run/model.h5", "--prompt", "40", "--tokens", "4", "--batch", "2", "--rounds", "1"],
        ] {
            let outcome = try run(command + mixed)
            #expect(
                outcome.status == 0 && outcome.output.contains(command[0] == "bench" ? "KV bytes" : "int8+kivi4:0"), "\(outcome)")
            let beyond = try run(command + ["--kv-dtype", "int8+kivi4:2"])
            #expect(
                beyond.status != 0 && beyond.error.contains("'int8+kivi4:2' names layer 2, the model's are 0 to 1"),
                "\(command) \(beyond.error)")
        }
        for command in [["serve"], ["verify"], ["capacity", "--context", "60"], ["eval", "ppl", "--text", "text.txt"]] {
            let refused = try run(command + ["run/model.h5", "--kv-bits-budget", "99"])
            #expect(
                refused.status != 0 && refused.error.contains("'kvlab codecs MODEL --text FILE --kv-bits-budget 99' measures"),
                "\(command) \(refused.error)")
        }
        let none = try run(["codecs", "run/model.h5", "--kv-bits-budget", "1"] + windows)
        #expect(none.error.contains("no encodings of the layers take 1.0 bytes a token; the leanest, "), "\(none.error)")
    }

    @Test func `help names element types as they are typed`() throws {
        for (command, type) in [("serve", "fp16"), ("verify", "fp32"), ("capacity", "fp16"), ("convert", "fp16")] {
            let help = try run(command, "--help").output.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
            // Conversions count bytes in one encoding.
            let several = command == "convert" ? "" : ", int8+kivi4:8-15"
            let values = "(values: fp32, fp16, bf16, int8, k8v4, q8_0, q4_0, kivi4, kivi2, int4\(several); default: \(type))"
            #expect(help.contains(values) && !help.contains("F16"), "\(help)")
        }
        let refused = try run("serve", "m.h5", "--kv-dtype", "F16")
        let known = "Please provide one of the following: - fp32 - fp16 - bf16 - int8 - k8v4 - q8_0 - q4_0 - kivi4 - kivi2 - int4"
        let words = refused.error.split { $0 == " " || $0 == "\n" }.joined(separator: " ")
        #expect(refused.status == 64 && words.contains(known), "\(refused.error)")
    }

    @Test func `results are one line of JSON, or an indented one with --pretty`() throws {
        try recipe()
        #expect(try run("train", "recipe.json", "--out", "runs/a", "--threads", "1").status == 0)
        try scratch.write(Array(#"{"task": "passkey", "id": 1, "prediction": "7", "answers": ["7"]}"#.utf8), to: "cases.jsonl")
        let model = "runs/a/model.h5"
        for (command, lines) in [
            (["inspect", model], 1), (["inspect", model, "--summary"], 1), (["estimate", model], 1), (["runs", "list"], 1),
            (["runs", "show", "a"], 1), (["runs", "gc"], 1), (["runs", "lineage", "a"], 1), (["runs", "diff", "a", "a"], 1),
            (["capacity", model, "--context", "9"], 1), (["generate", model, "--prompt", "x", "--max-tokens", "2"], 1),
            (["compare", model, "--text", "text.txt", "--window", "32"], 1), (["eval", "score", "cases.jsonl"], 2),
        ] {
            let line = try run(command + ["--json"])
            #expect(line.status == 0 && line.output.split(separator: "\n").count == lines, "\(command): \(line.error)")
            let pretty = try run(command + ["--pretty"])
            #expect(pretty.status == 0 && ["{\n", "[\n"].contains(String(pretty.output.prefix(2))), "\(command)")
            // What can be measured twice is the same.
            guard lines == 1, command[0] != "generate" else { continue }
            func json(_ text: String) throws -> NSObject? {
                try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed) as? NSObject
            }
            #expect(try json(line.output) == json(pretty.output), "\(command)")
        }
        let summary = try run("inspect", model, "--summary")
        #expect(summary.output.hasSuffix("\n20 tensors, all as they were written\n"), "\(summary.output)")
        #expect(!summary.output.contains("k_proj"))
    }

    @Test func `texts are encoded by a tokenizer's file, a checkpoint, a folder and a GGUF file alike`() throws {
        try recipe()
        let bpe = try run("tokenizer", "train", "--text", "text.txt", "--vocab-size", "300", "--out", "bpe.json")
        #expect(bpe.status == 0, "\(bpe.error)")
        let trained = try run(
            "train", "recipe.json", "--set", #"tokenizer={"kind": "file", "path": "bpe.json"}"#, "--out", "run")
        #expect(trained.status == 0, "\(trained.error)")
        for (format, path) in [("hf", "hf"), ("gguf", "model.gguf")] {
            let exported = try run("export", "run/model.h5", "--format", format, "--out", path)
            #expect(exported.status == 0, "\(exported.error)")
        }
        let expected = try run("tokenizer", "encode", "text.txt", "--tokenizer", "bpe.json").output
        #expect(expected.hasPrefix("["))
        for path in ["run/model.h5", "hf", "model.gguf"] {
            let encoded = try run("tokenizer", "encode", "text.txt", "--tokenizer", path)
            #expect(encoded.status == 0 && encoded.output == expected, "\(path): \(encoded.error)")
        }
        let refused = try run("tokenizer", "encode", "text.txt", "--tokenizer", "run")
        #expect(refused.status == 1 && refused.error.contains("run: the folder has neither tokenizer.json nor tokenizer.model"))
    }

    private struct Generated: Decodable {
        var promptIDs: [Int]
        var ids: [Int]
        var text: String
    }

    private func generate(_ arguments: String...) throws -> Generated {
        let outcome = try run(["generate"] + arguments + ["--max-tokens", "3", "--json"])
        #expect(outcome.status == 0, "\(outcome.error)")
        return try JSONDecoder().decode(Generated.self, from: Data(outcome.output.utf8))
    }

    @Test func `a prompt is a chat's message where the model has a template, and a text that ends at once is told`() throws {
        try recipe()
        let bpe = ["tokenizer", "train", "--text", "text.txt", "--vocab-size", "280", "--out", "bpe.json"]
        #expect(try run(bpe).status == 0)
        let tokenizer = #"tokenizer={"kind": "file", "path": "bpe.json"}"#
        #expect(try run("train", "recipe.json", "--set", tokenizer, "--out", "run").status == 0)
        #expect(try run("export", "run/model.h5", "--format", "hf", "--out", "hf").status == 0)
        let template =
            "{% for it in messages %}<{{ it.role }}>{{ it.content }}{% endfor %}{% if add_generation_prompt %}<answer>{% endif %}"
        try scratch.write(Array(template.utf8), to: "hf/chat_template.jinja")

        let chat = try generate("hf", "--prompt", "line")
        let whole = try generate("hf", "--raw", "--prompt", "<user>line<answer>")
        #expect(chat.promptIDs == whole.promptIDs && chat.ids == whole.ids && whole.text == "<user>line<answer>" + chat.text)
        let system = try generate("hf", "--prompt", "line", "--system", "be brief")
        #expect(try system.promptIDs == generate("hf", "--raw", "--prompt", "<system>be brief<user>line<answer>").promptIDs)
        #expect(try generate("run/model.h5", "--prompt", "line").text.hasPrefix("line"))
        let plain = try generate("run/model.h5", "--prompt", "line", "--chat")
        #expect(try plain.promptIDs == generate("run/model.h5", "--prompt", "User: line\nAssistant:").promptIDs)
        for (arguments, sentence) in [
            (["hf", "--raw", "--chat"], "--chat means nothing with --raw"),
            (["hf", "--raw", "--system", "x"], "--system means nothing with --raw"),
            (["run/model.h5", "--system", "x"], "--system is for chats, and run/model.h5 has no chat template"),
        ] {
            let refused = try run(["generate"] + arguments + ["--prompt", "x"])
            #expect(refused.status == 64 && refused.error.contains(sentence), "\(refused.error)")
        }

        // Every token ends a text.
        var config = try #require(
            try JSONSerialization.jsonObject(with: Data(scratch.bytes("hf/config.json"))) as? [String: Any])
        config["eos_token_id"] = Array(0..<(try #require(config["vocab_size"] as? Int)))
        try scratch.write([UInt8](JSONSerialization.data(withJSONObject: config)), to: "hf/config.json")
        let told = "the model ended the text at once, with no token before its end; "
        let ended = try run("generate", "hf", "--prompt", "line")
        #expect(ended.status == 0 && ended.output == "\n" && ended.error.contains(told + "try another --seed"), "\(ended)")
        let raw = try run("generate", "hf", "--prompt", "line", "--raw")
        #expect(raw.output == "line\n" && raw.error.contains(told + "leave --raw out to send it as a chat"), "\(raw)")
    }

    @Test func `keys and limits of keys that cannot be are refused`() throws {
        for (options, message) in [
            (["--admin-key", ""], "--admin-key is empty; give a key, or leave the option out"),
            (
                ["--api-key", "a", "--admin-key", "a"],
                "--admin-key is an API key too; its holders would see every tenant, give another"
            ),
            (["--key-requests", "0"], "--key-requests is 0, expected at least 1"),
            (["--key-tokens=-1"], "--key-tokens is -1, expected at least 1"),
            // The admin's key keeps nobody out.
            (["--host", "0.0.0.0", "--admin-key", "a"], "set --api-key or KVLAB_API_KEY"),
        ] {
            let refused = try run(["serve", "m.h5"] + options)
            #expect(refused.status == 64 && refused.error.contains(message), "\(options): \(refused.error)")
        }
    }

    @Test func `LLaMA-2-7B's cache takes 524,288 bytes a token in fp16`() throws {
        let config = """
            {"architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 4096, "intermediate_size": 11008, "model_type": "llama",
             "max_position_embeddings": 4096, "num_attention_heads": 32, "num_hidden_layers": 32, "num_key_value_heads": 32,
             "rms_norm_eps": 1e-05, "tie_word_embeddings": false, "torch_dtype": "float16", "vocab_size": 32000}
            """
        try scratch.write(Array(config.utf8), to: "config.json")
        let outcome = try run("estimate", "config.json", "--context", "4096", "--batch", "2", "--kv-dtype", "fp16", "--json")
        let json = try #require(try JSONSerialization.jsonObject(with: Data(outcome.output.utf8)) as? [String: Any])
        #expect(json["bytesPerToken"] as? Int == 524_288)
    }

    @Test func `options of the cache that would have no effect, and pages that cannot be, are refused`() throws {
        let ppl = ["eval", "ppl", "a.h5", "--text", "t.txt"]
        for (options, message) in [
            (["--kv-dtype", "bf16"], "--kv-dtype has no effect without --through-cache"),
            (["--kv-residual", "32"], "--kv-residual has no effect without --through-cache"),
            (["--page", "4KiB"], "--page has no effect without --through-cache"),
            (["--through-cache", "--dtype", "bf16"], "--dtype has no effect with --through-cache"),
            (["--evict", "tova", "--kv-budget", "9"], "--evict has no effect without --through-cache"),
            (["--prefill", "9"], "--prefill has no effect without --through-cache"),
            (
                ["--through-cache", "--prefill", "256", "--window", "256"],
                "--prefill is 256, expected 1 to 255, less than the tokens of --window"
            ),
            (["--limit-windows", "0"], "--limit-windows is 0, expected at least 1"),
            (
                ["--through-cache", "--evict", "snapkv", "--kv-budget", "64"],
                "'snapkv' with this budget goes by a prompt, and there is none; say with --prefill how many tokens it has"
            ),
            (["--through-cache", "--evict", "tova", "--kv-budget", "50%"], "'tova' with this budget goes by a prompt"),
        ] {
            let refused = try run(ppl + options)
            #expect(refused.status != 0 && refused.error.contains(message), "\(options): \(refused.error)")
        }
        for command in [
            ["verify", "a.h5"], ["serve", "a.h5"], ["capacity", "a.h5", "--context", "9"], ["bench", "engine", "a.h5"],
            ["bench", "serve", "a.h5"], ppl + ["--through-cache"],
        ] {
            // Every command with a pool but the load test has the same options of eviction.
            if command.prefix(2) != ["bench", "serve"] {
                let refused = try run(command + ["--evict", "h2", "--kv-budget", "9"])
                #expect(
                    refused.status != 0
                        && refused.error.contains("there is no eviction policy 'h2', expected one of streaming-llm,"),
                    "\(command): \(refused.error)")
            }
            for page in ["9000000000000000000", "100", "2GiB"] {
                let refused = try run(command + ["--page", page])
                #expect(refused.status != 0 && refused.error.contains("--page: a page of"), "\(command): \(refused.error)")
            }
        }
    }
}
