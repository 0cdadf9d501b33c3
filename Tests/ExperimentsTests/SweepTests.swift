import Checkpoints
import Foundation
import Recipes
import Registry
import TestSupport
import Testing
import Training

@testable import Experiments

@Suite struct SweepTests {
    private let scratch = ScratchDirectory()
    private let reporter = ProgressReporter(quiet: true)

    private func recipe(_ sweep: String, lab: String = "", train: String = #""warmupSteps": 2"#) throws -> Recipe {
        let words = ["alpha", "beta", "gamma", "delta", "epsilon"]
        let text = (0..<900).map { "\(words[$0 * $0 % 5]) meets \(words[$0 % 3]) at \($0 % 7).\n" }.joined()
        if scratch.bytes("text.txt").isEmpty { try scratch.write(Array(text.utf8), to: "text.txt") }
        return try Recipe.parse(
            """
            {"name": "sweep", "tokenizer": {"kind": "byte"},
             "data": {"files": ["\(scratch["text.txt"])"], "cache": "\(scratch["cache"])"},
             "model": {"dim": 16, "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 32},
             "train": {"steps": 8, "batch": 4, "seq": 24, "learningRate": 0.003, "validationSequences": 8, "checkpointEvery": 1, \(train)},
             "lab": {\(lab)"sweep": \(sweep), "evaluation": {"window": 24, "contextTokens": 32}}}
            """)
    }

    private func sweep(_ recipe: Recipe, _ out: String = "out") throws -> Sweep {
        try Sweep(recipe: recipe, lab: try #require(recipe.lab), directory: scratch[out], reporter: reporter)
    }

    private func run(_ recipe: Recipe, _ out: String = "out") async throws -> Sweep.Result {
        try #require(try await sweep(recipe, out).execute { false })
    }

    /// When each step was finished, by its folder.
    private func times(_ out: String = "out") throws -> [String: Date] {
        var times: [String: Date] = [:]
        for folder in try FileManager.default.contentsOfDirectory(atPath: scratch["\(out)/steps"]) {
            let path = scratch["\(out)/steps/\(folder)/step.json"]
            times[folder] = (try? FileManager.default.attributesOfItem(atPath: path))?[.modificationDate] as? Date
        }
        return times
    }

    private static let small = #"{"kvHeads": [2], "methods": ["mean", "first"], "alphas": [0.25], "seeds": [1], "scratch": true}"#

    @Test func `a sweep has a parent, controls and children, and says what each was trained on`() async throws {
        let result = try await run(recipe(Self.small))
        let points = result.results.points
        #expect(points.map(\.kind) == [.parent, .continued, .scratch, .child, .child])
        // From scratch on all that a child has seen, compared with the child's uptraining.
        #expect(points.map(\.tokens) == [8, 2, 10, 2, 2].map { $0 * 4 * 24 })
        #expect(points.map(\.budget) == [0, 2, 2, 2, 2].map { $0 * 4 * 24 })
        #expect(points.map { $0.bitsPerByteBefore != nil } == [false, false, false, true, true])
        #expect(points.map { $0.toContinued != nil } == [false, false, true, true, true])
        #expect(points.map(\.kvBytesPerToken) == [128, 128, 64, 64, 64])
        // 32 tokens fill pages of 1 KiB: what the pages take is what the geometry says.
        #expect(points.allSatisfy { $0.cache?.tokens == 32 && $0.cache?.logicalBytes == 32 * $0.kvBytesPerToken })
        #expect(points.allSatisfy { $0.cacheBytesPerToken == Double($0.kvBytesPerToken) })
        #expect(points[3].tokensPerParameter == 192 / Double(points[3].parameters))
        // The children are as good as their uptraining makes them, not as they were converted.
        #expect(points[3].bitsPerByte != points[3].bitsPerByteBefore)
        let lineage = try Checkpoint.load(scratch["out/steps/\(points[3].folder)/model.h5"]).lineage
        #expect(lineage.steps == 10 && lineage.contentHash == points[3].model)
        let names = result.results.summaries.map(\.name)
        #expect(names == ["parent", "parent continued", "kv2 from scratch", "kv2 mean", "kv2 first"])
    }

    @Test func `a step whose model was damaged is made again, and no other`() async throws {
        let recipe = try recipe(Self.small)
        let whole = try await run(recipe)
        let point = whole.results.points[3]
        let path = "out/steps/\(point.folder)/model.h5"
        var bytes = scratch.bytes(path)
        // In the seal.
        bytes[45] ^= 1
        try scratch.write(bytes, to: path)
        #expect(try sweep(recipe).planText().contains("1 to make"))
        let again = try await run(recipe)
        #expect(again.stepsMade == 1)
        #expect(again.results.points.map(\.model) == whole.results.points.map(\.model))
    }

    @Test func `an interrupted sweep goes on inside its run, to the same figures`() async throws {
        let recipe = try recipe(Self.small)
        let whole = try await run(recipe, "whole").results
        func steps(with file: String) -> Int {
            let steps = (try? FileManager.default.contentsOfDirectory(atPath: scratch["parts/steps"])) ?? []
            return steps.count { FileManager.default.fileExists(atPath: scratch["parts/steps/\($0)/\(file)"]) }
        }
        // Once in the parent's training, once in the one behind it.
        for trainings in 1...2 {
            let stopped = try await sweep(recipe, "parts").execute { steps(with: "metrics.jsonl") == trainings }
            #expect(stopped == nil)
        }
        #expect(steps(with: "checkpoint.h5") == 1)
        // What was done stays usable where the folder is moved, the run that was cut short too.
        try FileManager.default.moveItem(atPath: scratch["parts"], toPath: scratch["moved"])
        let result = try await run(recipe, "moved")
        #expect(result.results.points.map(\.bitsPerByte) == whole.points.map(\.bitsPerByte))
        #expect(result.stepsMade > 0 && result.stepsMade < 7)
        #expect(try await run(recipe, "moved").stepsMade == 0)
    }

    @Test func `a larger sweep makes only what is new`() async throws {
        let first = try await run(recipe(Self.small)).results
        let before = try times()
        #expect(before.count == 7)
        let large = #"{"kvHeads": [2, 1], "methods": ["mean", "first"], "alphas": [0.25, 0.5], "seeds": [1, 2], "scratch": true}"#
        let second = try await run(recipe(large)).results
        // Two parents, with two lengths of a control and, for two numbers of heads, of two methods and one from scratch.
        #expect(second.points.count == 30)
        #expect(second.points.filter { first.points.contains($0) } == first.points)
        let after = try times()
        for (folder, time) in before { #expect(after[folder] == time, "\(folder) was made again") }
        let child = try #require(second.summaries.first { $0.name == "kv2 mean" && $0.point.alpha == 0.5 })
        #expect(child.bitsPerByte.n == 2 && child.toContinued?.n == 2 && (child.bitsPerByte.deviation ?? 0) > 0)
        let saved = try JSONDecoder().decode(SweepResults.self, from: Data(scratch.bytes("out/results.json")))
        #expect(saved == second)
        let csv = String(decoding: scratch.bytes("out/results.csv"), as: UTF8.self).split(separator: "\r\n")
        #expect(csv.count == 31 && Set(csv.map { $0.split(separator: ",", omittingEmptySubsequences: false).count }) == [23])
        let html = String(decoding: scratch.bytes("out/report.html"), as: UTF8.self)
        for part in ["Recovery against α", "α = 0.5", "kv1 from scratch", "before any training", "Lineage", "cannot be judged"] {
            #expect(html.contains(part), "\(part)")
        }
        for outside in ["http://", "https://", "<script", "<link", "<img", "url("] { #expect(!html.contains(outside)) }
    }

    @Test func `a step whose text, model or record changed is made again`() async throws {
        let recipe = try recipe(#"{"kvHeads": [2], "methods": ["mean"], "scratch": false}"#, lab: #""control": false, "#)
        let points = try await run(recipe).results.points
        let child = scratch["out/steps/\(points[1].folder)"]
        try Data("no model".utf8).write(to: URL(fileURLWithPath: child + "/model.h5"))
        let again = try await run(recipe)
        #expect(again.stepsMade == 1 && again.results.points.map(\.bitsPerByte) == points.map(\.bitsPerByte))
        try FileManager.default.removeItem(atPath: child + "/step.json")
        #expect(try await run(recipe).stepsMade == 1)
        var text = scratch.bytes("text.txt")
        text[0] = UInt8(ascii: "A")
        try scratch.write(text, to: "text.txt")
        #expect(try await run(recipe).stepsMade == 3)
    }

    @Test func `with a constant rate the shares of one child are one trajectory, bit for bit`() async throws {
        let train = #""schedule": "constant", "validateEvery": 3"#
        let both = #"{"kvHeads": [2], "methods": ["mean"], "alphas": [0.25, 0.75], "seeds": [1], "scratch": true}"#
        let alone = #"{"kvHeads": [2], "methods": ["mean"], "alphas": [0.75], "seeds": [1], "scratch": true}"#
        let shared = try await run(recipe(both, train: train), "shared").results
        let single = try await run(recipe(alone, train: train), "single").results
        #expect(shared.sharesTrajectories && !single.sharesTrajectories)
        for kind in [SweepPoint.Kind.child, .continued, .scratch] {
            let a = try #require(shared.points.first { $0.kind == kind && $0.alpha == 0.75 })
            let b = try #require(single.points.first { $0.kind == kind })
            #expect(a.bitsPerByte == b.bitsPerByte && a.tokens == b.tokens)
            let weights = try [("shared", a), ("single", b)].map { out, point in
                let checkpoint = try Checkpoint.load(scratch["\(out)/steps/\(point.folder)/model.h5"])
                return checkpoint.parameters.names.map { checkpoint.parameters[$0]?.float32().array() ?? [] }
            }
            #expect(weights[0] == weights[1])
        }
        // With a schedule that knows its length each share is a run of its own.
        #expect(!SweepPlan(try recipe(both), try #require(recipe(both).lab)).sharesTrajectories)
    }

    @Test func `uptrainings of one parent with seeds of their own differ, and the parent counts once`() async throws {
        let axes =
            #"{"kvHeads": [1], "methods": ["mean"], "alphas": [0.5], "seeds": [1], "uptrainSeeds": [5, 6], "scratch": false}"#
        let results = try await run(recipe(axes)).results
        #expect(results.points.map(\.kind) == [.parent, .continued, .child, .continued, .child])
        #expect(results.points[2].bitsPerByte != results.points[4].bitsPerByte)
        #expect(results.points[2].bitsPerByteBefore == results.points[4].bitsPerByteBefore)
        // One parent: its uptrainings are all the spread there is.
        #expect(results.summaries[2].bitsPerByte.n == 2)
        let nested = SweepSummary.Figure([(seed: 1, value: 1.0), (seed: 1, value: 3.0), (seed: 2, value: 6.0)])
        #expect(nested?.n == 2 && nested?.mean == 4)
    }

    @Test func `children learn from the unconverted parent`() async throws {
        let lab = #""distill": {"weight": 0.4}, "#
        let result = try await run(recipe(#"{"kvHeads": [2], "methods": ["mean"], "scratch": false}"#, lab: lab))
        let child = try #require(result.results.points.last)
        let text = String(decoding: scratch.bytes("out/steps/\(child.folder)/recipe.json"), as: UTF8.self)
        let saved = try Recipe.parse(text)
        #expect(saved.uptrain?.settings.distill?.weight == 0.4 && saved.`init`?.convert == nil)
        #expect(saved.`init`?.parent == scratch["out/steps/\(result.results.points[0].folder)/model.h5"])
        let prepared = try PreparedRun(saved, reporter: reporter)
        #expect(prepared.plan.distillation?.teacher.config.kvHeads.uniform == 4 && prepared.config.kvHeads.uniform == 2)
    }

    @Test func `the registry finds a sweep's conversions with what became of them`() async throws {
        _ = try await run(recipe(#"{"kvHeads": [2, 1], "methods": ["mean"], "alphas": [0.25, 0.5], "scratch": false}"#))
        let examples = try RecoveryExample.all(in: RunRegistry(root: scratch["out"])).sorted { $0.name < $1.name }
        #expect(examples.map(\.name) == ["kv1-mean-s0", "kv2-mean-s0"])
        #expect(Set(examples.map(\.parent)).count == 1)
        for example in examples {
            // A look after each step.
            #expect(example.curves.map(\.count).sorted() == [2, 4])
            #expect(example.curves.allSatisfy { $0.map(\.tokens) == (1...$0.count).map { Double($0 * 96) } })
            #expect(example.features.count == RecoveryExample.featureNames.count && example.features.allSatisfy(\.isFinite))
            #expect(example.parentBitsPerByte > 0 && example.startPercent != example.lossPercent)
        }
    }

    @Test func `other attentions are an axis beside KV heads, by their own conversion and from scratch`() async throws {
        let axes = """
            {"kvHeads": [2], "methods": ["mean"], "alphas": [0.25], "scratch": true, "timing": {"batch": 1, "context": 8, "tokens": 2, "rounds": 1},
             "architectures": [{"kind": "cross-layer", "share": 2}, {"kind": "hybrid", "window": 8, "fullEvery": 2},
               {"kind": "mla", "rank": 4, "ropeHeadDim": 2}]}
            """
        let results = try await run(recipe(axes)).results
        let names = ["kv2", "cla2", "hybrid-w8-f2", "mla-r4"]
        #expect(
            results.summaries.map(\.name) == ["parent", "parent continued", "kv2 from scratch", "kv2 mean"]
                + names.dropFirst().flatMap { ["\($0) from scratch", "\($0) converted"] })
        for point in results.points where point.architecture != nil {
            let parent = results.points[0]
            #expect(point.cacheBytesPerToken < parent.cacheBytesPerToken, "\(point.folder)")
            #expect(point.kind == .scratch || point.bitsPerByteBefore != nil && point.bitsPerByte < 9)
            // Converted and from scratch are one architecture.
            let same = results.points.filter { $0.architecture == point.architecture }
            #expect(Set(same.map(\.parameters)).count == 1 && Set(same.map(\.kvBytesPerToken)).count == 1)
        }
        #expect(results.timing?.rows.map(\.name) == ["parent"] + names)
        #expect(try Recipe.parse(results.recipe).lab?.sweep?.architectures.map(\.name) == names)
        let error = #expect(throws: RecipeError.self) {
            try sweep(recipe(#"{"architectures": [{"kind": "mla", "rank": 4, "ropeHeadDim": 3}]}"#))
        }
        #expect(error?.description.contains("lab.sweep.architectures[0]") == true)
    }

    @Test func `decoding is timed for each architecture once`() async throws {
        let axes =
            #"{"kvHeads": [2, 1], "methods": ["mean"], "scratch": false, "timing": {"batch": 2, "context": 16, "tokens": 4, "rounds": 2}}"#
        let first = try await run(recipe(axes)).results
        let timing = try #require(first.timing)
        #expect(timing.rows.map(\.name) == ["parent", "kv2", "kv1"] && timing.rows.map(\.kvHeads) == [4, 2, 1])
        #expect(timing.rows.allSatisfy { $0.seconds.count == 2 && $0.secondsWithoutContext.allSatisfy { $0 > 0 } })
        #expect(try await run(recipe(axes)).results.timing == timing)
        #expect(String(decoding: scratch.bytes("out/report.html"), as: UTF8.self).contains("Time per token"))
    }

    @Test func `a text too short to calibrate on is refused before any work`() throws {
        try scratch.write(Array(String(repeating: "too short ", count: 60).utf8), to: "text.txt")
        let short = #expect(throws: ExperimentError.self) { try sweep(recipe(#"{"kvHeads": [2], "methods": ["learned"]}"#)) }
        #expect(short?.description.contains("too short to calibrate") == true)
        #expect(!FileManager.default.fileExists(atPath: scratch["out"]))
    }
}
