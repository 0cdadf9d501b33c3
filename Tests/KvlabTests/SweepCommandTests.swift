import Foundation
import TestSupport
import Testing

/// Sweeps as a user runs them; the torture tests kill them.
@Suite struct SweepCommandTests {
    private let scratch = ScratchDirectory()

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

    @Test func `an unknown method is refused with its place before any work`() throws {
        try recipe(methods: #"["mean", "best"]"#)
        let refused = try run("lab", "recipe.json", "--out", "sweep")
        #expect(refused.status != 0)
        #expect(
            refused.error.contains(#"recipe.json:5:24: 'lab.sweep.methods[1]' is "best", expected one of "mean""#),
            "\(refused.error)")
        #expect(!FileManager.default.fileExists(atPath: scratch["sweep"]))
    }

    @Test func `a diagnosis predicts from earlier runs, or says that they are too few`() throws {
        try recipe()
        let swept = try run("lab", "recipe.json", "--out", "runs/tiny")
        #expect(swept.status == 0 && swept.output.contains("tokens per parameter"), "\(swept.error)")
        let plan = try run("lab", "recipe.json", "--out", "runs/tiny", "--dry-run")
        #expect(plan.output.contains("6 steps, 0 to make: 0 tokens"), "\(plan.output)\(plan.error)")
        let forced = try run("lab", "recipe.json", "--out", "runs/tiny", "--resume", "--force")
        #expect(forced.error.contains("--force has no effect on a sweep"), "\(forced.error)")
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
