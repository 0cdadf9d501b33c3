import Foundation
import TestSupport
import Testing

/// Sweeps as a user runs them, killed and resumed.
@Suite struct SweepCommandTests {
    private let scratch = ScratchDirectory()

    private func start(_ arguments: [String], to output: String) throws -> Process {
        let process = try Tool.process(arguments, in: scratch.path)
        // Files, not pipes: nothing blocks however much is written.
        for path in [output, output + ".err"] { try scratch.write([], to: path) }
        process.standardOutput = FileHandle(forWritingAtPath: scratch[output])
        process.standardError = FileHandle(forWritingAtPath: scratch[output + ".err"])
        try process.run()
        return process
    }

    private func run(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(arguments, in: scratch.path) }

    private func recipe(methods: String = #"["mean", "first"]"#) throws {
        let text = (0..<900).map { "line \($0 % 17) of \($0 % 5) and \($0 % 3)\n" }.joined()
        try scratch.write(Array(text.utf8), to: "text.txt")
        try scratch.write(
            Array(
                """
                {"name": "tiny", "tokenizer": {"kind": "byte"}, "data": {"files": ["text.txt"]},
                 "model": {"dim": 32, "layers": 2, "heads": 4, "ffn": 64, "maxSeq": 64},
                 "train": {"steps": 60, "batch": 4, "seq": 32, "learningRate": 0.003, "checkpointEvery": 5, "validationSequences": 8},
                 "lab": {"sweep": {"kvHeads": [1],
                   "methods": \(methods), "alphas": [0.2], "seeds": [1]}, "evaluation": {"window": 32, "contextTokens": 64}}}
                """.utf8), to: "recipe.json")
    }

    @Test func `a sweep killed at any moment goes on with the same command, to the same figures`() throws {
        try recipe()
        let whole = try run("lab", "recipe.json", "--out", "whole", "--json")
        #expect(whole.status == 0, "\(whole.error)")
        var kills = 0
        for attempt in 1...40 {
            let process = try start(["lab", "recipe.json", "--out", "parts", "--json"], to: "parts.json")
            // Later each time, so that it always gets somewhere.
            let deadline = Date(timeIntervalSinceNow: 0.15 * Double(attempt))
            while process.isRunning, Date() < deadline { usleep(10_000) }
            guard process.isRunning else {
                process.waitUntilExit()
                #expect(process.terminationStatus == 0, "\(String(decoding: scratch.bytes("parts.json.err"), as: UTF8.self))")
                break
            }
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
            kills += 1
        }
        #expect(kills > 0)
        func figures(_ text: [UInt8]) throws -> [[String: Double]] {
            let json = try #require(try JSONSerialization.jsonObject(with: Data(text)) as? [String: Any])
            let points = try #require(json["points"] as? [[String: Any]])
            return points.map { point in
                let keys = ["bitsPerByte", "bitsPerByteBefore", "tokens", "toContinued", "klDivergence"]
                return Dictionary(uniqueKeysWithValues: keys.compactMap { key in (point[key] as? Double).map { (key, $0) } })
            }
        }
        let expected = try figures(Array(whole.output.utf8))
        #expect(expected.count == 1 + 1 + 1 + 2)
        #expect(try figures(scratch.bytes("parts.json")) == expected)
        let plan = try run("lab", "recipe.json", "--out", "parts", "--dry-run")
        #expect(plan.output.contains("7 steps, 0 to make: 0 tokens"), "\(plan.output)\(plan.error)")
    }

    @Test func `an unknown method is refused with its place before any work`() throws {
        try recipe(methods: #"["mean", "best"]"#)
        let refused = try run("lab", "recipe.json", "--out", "sweep")
        #expect(refused.status != 0)
        #expect(
            refused.error.contains("recipe.json:5:24: 'lab.sweep.methods[1]': no conversion method 'best'"), "\(refused.error)")
        #expect(!FileManager.default.fileExists(atPath: scratch["sweep"]))
    }

    @Test func `a diagnosis predicts from earlier runs, or says that they are too few`() throws {
        try recipe()
        let swept = try run("lab", "recipe.json", "--out", "runs/tiny")
        #expect(swept.status == 0 && swept.output.contains("tokens per parameter"), "\(swept.error)")
        let steps = try FileManager.default.contentsOfDirectory(atPath: scratch["runs/tiny/steps"])
        let parent = try #require(steps.first { $0.hasPrefix("parent-s1-") })
        let told = try run(
            "convert", "runs/tiny/steps/\(parent)/model.h5", "--kv-heads", "1", "--method", "mean", "--calibration", "text.txt",
            "--diagnose", "--within", "0.001")
        #expect(told.status == 0, "\(told.error)")
        #expect(told.output.contains("within 0.001 % of the parent's bits per byte: too few earlier runs"), "\(told.output)")
        let alone = try run("convert", "model.h5", "--kv-heads", "1", "--within", "5", "--out", "x.h5")
        #expect(alone.status != 0 && alone.error.contains("--within needs --diagnose"))
    }
}
