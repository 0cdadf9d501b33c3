import Foundation
import TestSupport
import Testing

/// `kvlab bench serve` as a user runs it.
@Suite struct BenchServeTests {
    private let scratch = ScratchDirectory()

    private func kvlab(_ arguments: [String]) throws -> Tool.Outcome { try Tool.run(arguments, in: scratch.path) }

    /// A model of 64 positions, and its child with one KV head.
    private func models() throws -> [String] {
        let text = (0..<600).map { "line \($0 % 17) of \($0 % 5) and \($0 % 3)\n" }.joined()
        try scratch.write(Array(text.utf8), to: "text.txt")
        try scratch.write(
            Array(
                """
                {"name": "tiny", "tokenizer": {"kind": "byte"}, "data": {"files": ["\(scratch["text.txt"])"]},
                 "model": {"dim": 16, "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 64},
                 "train": {"steps": 1, "batch": 2, "seq": 32, "learningRate": 0.003}}
                """.utf8), to: "recipe.json")
        let trained = try kvlab(["train", scratch["recipe.json"], "--out", scratch["run"]])
        try #require(trained.status == 0, "\(trained.error)")
        let converted = try kvlab(
            ["convert", scratch["run/model.h5"], "--kv-heads", "1", "--method", "mean", "--out", scratch["mqa.h5"]])
        try #require(converted.status == 0, "\(converted.error)")
        return [scratch["run/model.h5"], scratch["mqa.h5"]]
    }

    private static let load = [
        "--requests", "6", "--concurrency", "3", "--prompt", "20", "--shared", "8", "--tokens", "6", "--kv-memory", "1MiB",
    ]

    @Test func `models take turns, and medians, ranges and what shares the cores are told`() throws {
        let models = try models()
        let result = try kvlab(
            ["bench", "serve"] + models + Self.load + ["--rounds", "2", "--json", "--html", scratch["report.html"]])
        try #require(result.status == 0, "\(result.error)")
        let turns = result.error.components(separatedBy: "\n").filter { $0.hasPrefix("round ") }
        #expect(turns.count == 4 && zip(turns, [0, 1, 0, 1]).allSatisfy { $0.contains(models[$1]) }, "\(turns)")
        let report = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
        #expect((report["caption"] as? String)?.contains("Clients and server share one process and its cores") == true)
        let rows = try #require(report["rows"] as? [[String: Any]])
        #expect(rows.compactMap { $0["kvBytesPerToken"] as? Int } == [128, 32])
        for row in rows {
            for loop in ["closed", "open"] {
                let load = try #require(row[loop] as? [String: Any])
                #expect(load["answered"] as? Int == 12 && load["failed"] as? Int == 0)
                let speed = try #require(load["tokensPerSecond"] as? [String: Double])
                #expect((speed["lowest"] ?? 0) > 0 && (speed["highest"] ?? 0) >= (speed["median"] ?? .infinity))
            }
        }
        let html = String(decoding: scratch.bytes("report.html"), as: UTF8.self)
        #expect(html.contains("class=\"label\">mqa<") && html.contains("open loop"))
    }

    @Test func `servers whose caches evict are measured, and hold more sequences`() throws {
        let model = try models()[0]
        func rows(_ options: [String]) throws -> (caption: String, held: Int) {
            let result = try kvlab(["bench", "serve", model] + Self.load + ["--rounds", "1", "--rate", "0", "--json"] + options)
            try #require(result.status == 0, "\(result.error)")
            let report = try #require(try JSONSerialization.jsonObject(with: Data(result.output.utf8)) as? [String: Any])
            let row = try #require((report["rows"] as? [[String: Any]])?.first)
            #expect(((row["closed"] as? [String: Any])?["answered"] as? Int) == 6)
            return (try #require(report["caption"] as? String), try #require(row["sequencesHeld"] as? Int))
        }
        let pages = ["--page", "512"]
        let (caption, held) = try rows(pages + ["--evict", "streaming-llm", "--kv-budget", "8", "--kv-interval", "4"])
        #expect(caption.contains("evicted by streaming-llm, 8 slots"))
        #expect(try rows(pages).held < held)
    }

    @Test func `what is wrong with the load is said with the option's name, and no usage where that is right`() throws {
        let model = try models()[0]
        let cases: [([String], String)] = [
            (["--rate", "1e300"], "--rate is 1e+300, expected 0 to 1000000 requests a second"),
            (["--rate=-1"], "--rate is -1.0, expected 0 to 1000000 requests a second"),
            (["--rounds", "0"], "--rounds is 0, expected 1 to 1000"),
            (["--threads", "0"], "--threads is 0, expected 1 to 1024"),
            (["--requests", "0"], "--requests is 0, expected 1 to 1000000"),
            (["--concurrency", "0"], "--concurrency is 0, expected 1 to 1000000"),
            (["--prompt", "9000000000000000000"], "--prompt is 9000000000000000000, expected 1 to 1000000"),
            (["--tokens", "0"], "--tokens is 0, expected 1 to 1000000"),
            (["--shared", "20"], "--shared is 20, expected 0 to 19, less than the 20 tokens of --prompt"),
        ]
        for (options, sentence) in cases {
            let result = try kvlab(["bench", "serve", model] + Self.load + options)
            #expect(result.status != 0 && result.error.contains("Error: \(sentence)\n"), "\(options): \(result.error)")
        }
        let runs: [([String], String)] = [
            (
                ["--prompt", "60"],
                "a prompt of 60 tokens and 6 generated are 66, the model has 64 positions; choose a smaller --prompt"
            ),
            (["--kv-memory", "2KiB"], "2KiB of cache hold no sequence of 26 tokens; choose a larger --kv-memory"),
        ]
        for (options, sentence) in runs {
            let result = try kvlab(["bench", "serve", model] + Self.load + options)
            #expect(
                result.status != 0 && result.error.contains("\(model): \(sentence)") && !result.error.contains("Usage"),
                "\(options): \(result.error)")
        }
    }
}
