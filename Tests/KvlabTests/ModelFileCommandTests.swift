import Foundation
import TestSupport
import Testing

/// import, export, inspect and estimate as a user runs them, each in a process of its own.
@Suite(.enabled(if: Tool.path != nil, "kvlab is not built beside the tests"))
struct ModelFileCommandTests {
    let scratch = ScratchDirectory()

    private func kvlab(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(arguments, in: scratch.path) }

    private func json(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    @Test func `LLaMA-2-7B takes 524288 bytes per token in fp16`() throws {
        let config =
            #"{"model_type":"llama","hidden_size":4096,"num_attention_heads":32,"num_hidden_layers":32,"max_position_embeddings":4096}"#
        try scratch.write(Array(config.utf8), to: "config.json")
        let result = try kvlab(
            "estimate", scratch["config.json"], "--kv-dtype", "fp16", "--context", "4096", "--batch", "2", "--json")
        let report = try json(result.output)
        #expect(report["bytesPerToken"] as? Int == 524_288)
        #expect(report["totalBytes"] as? Int == 2 * 4096 * 524_288)
        // A page of 16 KiB holds one token of a layer, which takes 16 KiB.
        #expect(report["allocatedBytes"] as? Int == 2 * 4096 * 524_288 && report["pageBytes"] as? Int == 16 << 10)
        // With codes of 8 bits: 32 · 2 · (128 + 2) bytes a token and layer, 16 of them in a page.
        let codes = try json(
            kvlab("estimate", scratch["config.json"], "--kv-dtype", "int8", "--context", "4090", "--json").output)
        #expect(codes["bytesPerToken"] as? Int == 32 * 8320 && codes["pageBytes"] as? Int == 16 * 8320)
        #expect(codes["totalBytes"] as? Int == 4090 * 32 * 8320 && codes["allocatedBytes"] as? Int == 4096 * 32 * 8320)
        let text = try kvlab("estimate", scratch.path)
        #expect(text.output.contains("per token  524288 bytes (512 KiB)"))
    }

    @Test func `estimate answers what a conversion would take, and refuses settings that its method has not`() throws {
        let config = """
            {"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 32000,
             "intermediate_size": 11008, "max_position_embeddings": 4096}
            """
        try scratch.write(config.utf8, to: "config.json")
        let mqa = try json(kvlab("estimate", scratch.path, "--kv-heads", "1", "--kv-dtype", "int8", "--json").output)
        #expect(mqa["bytesPerToken"] as? Int == 32 * 2 * (128 + 2) && mqa["attention"] as? String == "MQA")
        #expect(mqa["parentBytesPerToken"] as? Int == 32 * 32 * 2 * (128 + 2))
        let latent = try kvlab("estimate", scratch.path, "--method", "mla", "--rank", "512", "--rope-head-dim", "64")
        #expect(latent.output.contains("per token  36864 bytes (36 KiB), 7.03 % of the 524288 before"), "\(latent)")
        for (options, message) in [
            (["--kv-heads", "5"], "5"),
            (["--rank", "96"], "--rank means nothing for 'learned'"),
            (["--method", "best"], "no conversion method 'best'"),
        ] {
            let refused = try Tool.run(["estimate", scratch.path] + options, in: scratch.path)
            #expect(refused.status != 0 && refused.error.contains(message), "\(options): \(refused)")
        }
    }

    @Test func `what cannot be read is one line naming the file, and a status other than 0`() throws {
        try scratch.write(Array("not a model".utf8), to: "x")
        try scratch.write([], to: "empty")
        for arguments in [["inspect"], ["estimate"], ["export", "--out", scratch["out"]], ["import", "--out", scratch["out"]]] {
            for file in ["x", "empty", "absent"] {
                let result = try Tool.run([arguments[0], scratch[file]] + arguments.dropFirst(), in: scratch.path)
                #expect(result.status == 1)
                #expect(result.output.isEmpty)
                #expect(result.error.hasPrefix("Error: " + scratch[file] + ": "), "\(result.error)")
                #expect(result.error.filter { $0 == "\n" }.count == 1)
            }
        }
        #expect(scratch.names == ["empty", "x"])
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `a model goes in and comes out as it was`() throws {
        let folder = SharedData.path("models/stories260K")
        let imported = try kvlab("import", folder, "--out", scratch["a.h5"], "--tokenizer", folder + "/tok512.bin")
        #expect(imported.status == 0, "\(imported.error)")
        let report = try json(try kvlab("inspect", scratch["a.h5"], "--json").output)
        #expect(report["parameters"] as? Int == 260_032)
        #expect(report["tokenizer"] as? String == "llama2.c")
        #expect(report["verified"] as? Bool == true)
        #expect((report["tensors"] as? [Any])?.count == 47)
        let exported = try kvlab("export", scratch["a.h5"], "--format", "hf", "--out", scratch["hf"])
        #expect(exported.output.contains("has no Hugging Face form"))
        let again = try kvlab("import", scratch["hf"], "--out", scratch["b.h5"])
        #expect(again.status == 0, "\(again.error)")
        func digests(_ name: String) throws -> [String] {
            let tensors = try json(try kvlab("inspect", scratch[name], "--json").output)["tensors"] as? [[String: Any]]
            return tensors?.compactMap { $0["sha256"] as? String } ?? []
        }
        #expect(try digests("a.h5") == digests("b.h5"))
        let total = try json(try kvlab("estimate", scratch["a.h5"], "--json").output)
        #expect(total["bytesPerToken"] as? Int == 2 * 5 * 4 * 8 * 2)
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
    func `what works on checkpoints works on folders and GGUF files as they are`() throws {
        let folder = SharedData.path("models/tinystories-656k")
        let exported = try kvlab("export", folder, "--format", "gguf", "--out", scratch["m.gguf"])
        #expect(exported.status == 0, "\(exported.error)")
        try scratch.write(Array(String(repeating: "Once upon a time there was a girl. ", count: 40).utf8), to: "t.txt")
        var perplexities: [Double] = []
        for path in [folder, scratch["m.gguf"]] {
            let scored = try kvlab(
                "eval", "ppl", path, "--text", scratch["t.txt"], "--tokenizer", folder + "/tokenizer.json", "--json")
            #expect(scored.status == 0, "\(scored.error)")
            perplexities.append(try #require(try json(scored.output)["perplexity"] as? Double))
            let converted = try kvlab(
                "convert", path, "--kv-heads", "1", "--method", "mean", "--out", scratch["c\(perplexities.count).h5"])
            #expect(converted.status == 0, "\(converted.error)")
            for arguments in [["verify"], ["capacity", "--context", "64", "--kv-memory", "1MiB"], ["estimate"]] {
                let result = try Tool.run([arguments[0], path] + arguments.dropFirst(), in: scratch.path)
                #expect(result.status == 0, "\(arguments): \(result.error)")
            }
        }
        #expect(abs(perplexities[0] - perplexities[1]) < 1e-6 * perplexities[0])
    }
}
