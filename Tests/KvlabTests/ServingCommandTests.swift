import Foundation
import TestSupport
import Testing

/// verify, capacity and eval ppl --through-cache as a user runs them.
@Suite(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"))
struct ServingCommandTests {
    private let scratch = ScratchDirectory()

    private func kvlab(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(arguments, in: scratch.path) }

    private func checkpoint(_ name: String) throws -> String {
        let folder = SharedData.path("models/\(name)")
        let path = scratch["\(name).h5"]
        let tokenizer = folder + "/tok512.bin"
        let options = FileManager.default.fileExists(atPath: tokenizer) ? ["--tokenizer", tokenizer] : []
        let result = try Tool.run(["import", folder, "--out", path] + options, in: scratch.path)
        try #require(result.status == 0, "\(result.error)")
        return path
    }

    @Test func `every way of keeping the cache passes on a real checkpoint`() throws {
        let path = try checkpoint("stories260K")
        let result = try kvlab("verify", path, "--tokens", "300", "--page", "4KiB")
        #expect(
            result.status == 0 && result.output.components(separatedBy: "passes").count == 10, "\(result.output)\(result.error)")
        for type in ["fp16", "bf16", "int8", "k8v4", "kivi4", "kivi2", "int4"] {
            let half = try kvlab("verify", path, "--tokens", "200", "--kv-dtype", type)
            #expect(half.status == 0 && !half.output.contains("FAILS"), "\(half.output)")
        }
        let refused = try kvlab("verify", path, "--kv-dtype", "q8_0")
        #expect(refused.status == 1 && refused.error.contains("q8_0 stores blocks of 32 elements, layer 0 caches vectors of 8"))
        #expect(try kvlab("verify", path, "--tokens", "100000").status != 0)
        let left = try kvlab("verify", path, "--tokens", "200", "--kv-dtype", "kivi2", "--kv-residual", "64")
        #expect(left.status == 0 && left.output.contains("not exercised: prompts share no tokens"), "\(left.output)\(left.error)")
        let evicting = try kvlab("verify", path, "--kv-dtype", "kivi4", "--evict", "tova", "--kv-budget", "50%")
        #expect(evicting.status == 1 && evicting.error.contains("kivi4 encodes 32 tokens together, 'tova' evicts single ones"))
    }

    @Test func `a server refuses to compress shared prefixes by a policy that scores slots by queries, or by none`() throws {
        for (options, message) in [
            ([], "--compress-prefixes means nothing without --evict; use one of streaming-llm, window, "),
            (
                ["--evict", "h2o", "--kv-budget", "64"],
                "'h2o' scores slots by queries, and those of requests come behind a prefix that they share; use one of streaming-llm, window, "
            ),
            (
                ["--evict", "keydiff", "--kv-budget", "64", "--no-prefix-sharing"],
                "--compress-prefixes shares prefixes, --no-prefix-sharing does not; leave one of them out"
            ),
        ] {
            let refused = try Tool.run(["serve", "absent.h5", "--compress-prefixes"] + options, in: scratch.path)
            #expect(refused.status != 0 && refused.error.contains(message), "\(refused.error)")
        }
    }

    @Test func `an eviction's gates pass on a real checkpoint, an object each`() throws {
        let path = try checkpoint("stories260K")
        let result = try kvlab(
            "verify", path, "--tokens", "120", "--page", "4KiB", "--evict", "streaming-llm", "--kv-budget", "50%", "--json")
        let gates = try result.output.split(separator: "\n").map {
            try #require(try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
        }
        #expect(result.status == 0 && gates.count == 19, "\(result.output)\(result.error)")
        let evictions = gates.filter { ($0["name"] as? String)?.hasPrefix("streaming-llm") == true }
        #expect(evictions.count == 10 && evictions.allSatisfy { $0["passed"] as? Bool == true && $0["difference"] != nil })
    }

    @Test func `what is evicted behind a prompt shows in slots, bytes and divergence`() throws {
        let path = try checkpoint("stories260K")
        let text = SharedData.path("text/tinystories-sample.txt")
        func report(_ options: String...) throws -> [String: Double] {
            let result = try Tool.run(
                [
                    "eval", "ppl", path, "--text", text, "--through-cache", "--prefill", "100", "--window", "160", "--bos",
                    "never",
                    "--limit-windows", "4", "--page", "1KiB", "--json",
                ] + options, in: scratch.path)
            let report = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            return try #require(report, "\(result.error)").compactMapValues { $0 as? Double }
        }
        let whole = try report()
        // A page of 1 KiB has four tokens of 4 KV heads × 8 × 2 in fp32: 40 pages of 160 tokens, less the last token, which is no input.
        #expect(whole["klToFull"] == 0 && whole["slotsKept"] == 159 && whole["bytesPerToken"] == 40 * 5 * 1024 / 159.0)
        // 59 of 159 inputs follow the prompt.
        #expect(whole["tokensScored"] == 236)
        for policy in ["snapkv", "knorm", "streaming-llm"] {
            let kept = try report("--evict", policy, "--kv-budget", "40")
            #expect(kept["slotsKept"] == 40 + 59 && kept["bytesPerToken"] == 25 * 5 * 1024 / 159.0)
            let divergence = try #require(kept["klToFull"])
            #expect(divergence > 1e-3 && kept["nll"] != whole["nll"])
            let all = try report("--evict", policy, "--kv-budget", "160")
            let none = try #require(all["klToFull"])
            #expect(all["nll"] == whole["nll"] && abs(none) < 1e-7, "\(policy)")
        }
    }

    @Test func `half the KV heads hold twice the sequences`() throws {
        let paths = [try checkpoint("stories260K"), try checkpoint("stories260K-mha8")]
        let result = try kvlab("capacity", paths[0], paths[1], "--kv-memory", "8MiB", "--context", "256", "--json")
        let rows = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [[String: Any]])
        let held = rows.compactMap { ($0["capacity"] as? [String: Any])?["sequences"] as? Int }
        // 4 and 8 KV heads of 8 in fp16, 5 layers: 128 and 256 bytes a token and layer, 32 and 16 tokens a page of 4 KiB.
        #expect(held == [51, 25])
        #expect(rows.allSatisfy { $0["pageBytes"] as? Int == 4096 })
        // Of 256 tokens 64 are kept, in two pages instead of eight in each layer; the last prompt needs all of its pages first.
        let evicted = try kvlab(
            "capacity", paths[0], "--kv-memory", "8MiB", "--context", "256", "--evict", "streaming-llm", "--kv-budget", "64",
            "--json")
        let kept = try #require(
            (try JSONSerialization.jsonObject(with: Data(evicted.output.utf8)) as? [[String: Any]])?.first?["capacity"]
                as? [String: Any])
        #expect(kept["slotsKept"] as? Int == 64 && kept["sequences"] as? Int == (2048 - 50) / 10 + 1, "\(evicted.output)")
        let text = try kvlab("capacity", paths[0], "--kv-memory", "8MiB", "--context", "100")
        #expect(text.output.contains("in pages of 4KiB"))
        // int8: codes and a scale of 2 bytes a vector of 8, 80 bytes a token and layer. Pages of 32 tokens: 2560 bytes.
        let codes = try kvlab("capacity", paths[0], "--kv-memory", "8MiB", "--context", "256", "--kv-dtype", "int8")
        #expect(codes.output.contains("in pages of 2.5KiB") && codes.output.contains("| 400 | 81 |"), "\(codes.output)")
        #expect(text.output.contains("| stories260K | GQA-4 | 640 | 102 |"), "\(text.output)")
        // kivi4: keys take 4 + 1 and values 4 + 4 bytes a head, 52 bytes a token and layer. Pages of 32 tokens, 1664 bytes, of which
        // 256 tokens take 8 in each of 5 layers, and a chunk in between 4 more for its open block of 16 × 8 bytes a token.
        let blocks = try kvlab("capacity", paths[0], "--kv-memory", "8MiB", "--context", "256", "--kv-dtype", "kivi4")
        #expect(blocks.output.contains("in pages of 1.63KiB") && blocks.output.contains("| 260 | 125 |"), "\(blocks.output)")
    }

    @Test func `perplexity through fp32 pages is the model's, and that through bf16 ones near it`() throws {
        let path = try checkpoint("stories260K")
        let text = SharedData.path("text/tinystories-sample.txt")
        func perplexity(_ options: String...) throws -> Double {
            let result = try Tool.run(["eval", "ppl", path, "--text", text, "--json"] + options, in: scratch.path)
            let report = try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any]
            return try #require(report?["perplexity"] as? Double, "\(result.error)")
        }
        let whole = try perplexity()
        #expect(abs(try perplexity("--through-cache") / whole - 1) < 1e-5)
        #expect(abs(try perplexity("--through-cache", "--kv-dtype", "bf16") / whole - 1) < 0.01)
        #expect(abs(try perplexity("--through-cache", "--kv-dtype", "int8") / whole - 1) < 0.01)
        #expect(abs(try perplexity("--through-cache", "--page", "1KiB") / whole - 1) < 1e-5)
    }
}
