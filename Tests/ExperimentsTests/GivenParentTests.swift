import Checkpoints
import Evaluation
import Foundation
import Models
import Recipes
import TestSupport
import Testing
import Text
import Training

@testable import Experiments

/// Labs, sweeps and uptrainings of models that kvlab did not train.
@Suite struct GivenParentTests {
    private let scratch = ScratchDirectory()
    private let reporter = ProgressReporter(quiet: true)

    /// A model of bytes without a word on its training, and a text for it.
    private func write(_ name: String, seed: UInt64 = 1, heads: Int = 4, layers: Int = 2) throws {
        let words = ["alpha", "beta", "gamma", "delta", "epsilon"]
        let text = (0..<900).map { "\(words[$0 * $0 % 5]) meets \(words[$0 % 3]) at \($0 % 7).\n" }.joined()
        try scratch.write(Array(text.utf8), to: "text.txt")
        let config = TinyModel.config(
            vocabulary: 257, hidden: 16, feedForward: 24, layers: layers, heads: heads, kvHeads: heads, headDim: 4)
        let checkpoint = Checkpoint(
            config: config, parameters: TinyModel.parameters(config, seed: seed), tokenizer: ByteTokenizer().serialized)
        try checkpoint.save(to: scratch[name])
    }

    private func recipe(_ sections: String, data: String = "text.txt", train: String = "{}") throws -> Recipe {
        try Recipe.parse(
            """
            {"name": "given", "seed": 2, "data": {"files": ["\(scratch[data])"], "cache": "\(scratch["cache"])"},
             "train": \(train), \(sections)}
            """)
    }

    private func lab(_ recipe: Recipe, _ out: String = "lab") throws -> Sweep {
        try Sweep(recipe: recipe, lab: try #require(recipe.lab), directory: scratch[out], reporter: reporter)
    }

    private func message(_ body: () throws -> Any) -> String {
        do {
            _ = try body()
            return "accepted"
        } catch { return "\(error)".replacing(scratch.path + "/", with: "") }
    }

    private func message(_ body: () async throws -> Any) async -> String {
        do {
            _ = try await body()
            return "accepted"
        } catch { return "\(error)".replacing(scratch.path + "/", with: "") }
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"), arguments: ["hf", "gguf"])
    func `a lab takes a model of another origin as its parent, converts it, uptrains and compares`(format: String) async throws {
        let isGGUF = format == "gguf"
        let path = isGGUF ? scratch["tiny.gguf"] : SharedData.path("models/tinystories-656k")
        if isGGUF {
            let original = try ModelImport.load(
                SharedData.path("models/stories260K/stories260K.bin"), tokenizer: SharedData.path("models/stories260K/tok512.bin")
            )
            #expect(try GGUFExport.write(original, to: path) == nil)
        }
        // Of a KV head's key and value a quarter is rotated.
        let (rank, rope) = isGGUF ? (12, 4) : (24, 8)
        let stories = try TextFile.read(SharedData.path("text/tinystories-4mb.txt")).utf8.prefix(40_000)
        try scratch.write(stories, to: "stories.txt")
        let recipe = try recipe(
            """
            "init": {"checkpoint": "\(path)"},
            "lab": {"tokens": 260, "batch": 2, "seq": 32, "learningRate": 1e-4, "distill": {"weight": 0.5}, "evaluation": {"window": 64},
              "children": [{"kvHeads": 1, "method": "mean"},
                {"attention": {"kind": "mla", "rank": \(rank), "ropeHeadDim": \(rope), "refinement": false}, "calibrationTokens": 2048}]}
            """, data: "stories.txt")
        let result = try #require(try await lab(recipe).execute(resume: false) { false })
        let table = try #require(result.comparison)
        #expect(table.rows.map(\.name) == ["parent", "parent continued", "kv1-mean", "mla-r\(rank)"])
        #expect(table.rows.map(\.attention) == ["GQA-4", "GQA-4", "MQA", "MLA-\(rank)"])
        #expect(table.rows.map(\.kvBytesPerToken) == (isGGUF ? [640, 640, 160, 160] : [512, 512, 128, 128]))
        // 260 tokens are four steps of 64.
        #expect(table.rows.map(\.uptrainedTokens) == [nil, 256, 256, 256])
        #expect(table.rows[2].bitsPerByteBefore != nil && table.rows[3].bitsPerByte < table.rows[2].bitsPerByte)
        // The parent scores what the model scores by itself.
        let model = try LoadedModel(path: path)
        let text = try Corpus(recipe).validationText(recipe)
        let score = try Comparison(window: 64, bos: model.bosID == nil ? .never : .always).score(model, text, reporter: reporter)
        #expect(table.rows[0].bitsPerByte == score.bitsPerByte)
        let child = try Recipe.parse(String(decoding: scratch.bytes("lab/mla-r\(rank)/recipe.json"), as: UTF8.self))
        #expect(child.`init`?.parent == scratch["lab/parent/model.h5"] && child.uptrain?.length == .tokens(260))
        let lineage = try Checkpoint.load(scratch["lab/mla-r\(rank)/model.h5"]).lineage
        #expect(lineage.training?.baseSteps == nil && lineage.training?.steps == 4 && lineage.tokensSeen == 256)
        #expect(lineage.source?.contains(isGGUF ? "GGUF" : "Hugging Face") == true)
        #expect(try lab(recipe).planText().hasSuffix("6 steps, 0 to make: 0 tokens to train on"))
        for part in ["report.html", "pareto.svg", "inputs.json"] { #expect(!scratch.bytes("lab/\(part)").isEmpty) }
    }

    @Test func `a lab whose given parent changed is refused, and forced it makes all steps again`() async throws {
        try write("p.h5")
        let recipe = try recipe(
            """
            "init": {"checkpoint": "\(scratch["p.h5"])"},
            "lab": {"steps": 2, "batch": 2, "seq": 16, "learningRate": 1e-3, "children": [{"kvHeads": 1, "method": "mean"}]}
            """)
        let first = try #require(try await lab(recipe).execute(resume: false) { false })
        #expect(first.stepsMade == 4)
        #expect(try #require(try await lab(recipe).execute { false }).stepsMade == 0)
        for (budget, isOver) in [(1e6, false), (1e-9, true)] {
            let result = try #require(try await lab(recipe).execute(budget: budget) { false })
            let html = String(decoding: scratch.bytes("lab/report.html"), as: UTF8.self)
            #expect(result.duration.contains("beyond the budget of 0 s") == isOver)
            #expect(html.contains("The last call took \(result.duration).") == isOver)
        }
        await #expect(throws: TrainingError.runExists(directory: scratch["lab"])) {
            try await lab(recipe).execute(resume: false) { false }
        }
        let before = try Checkpoint.load(scratch["p.h5"]).lineage.contentHash ?? ""
        try write("p.h5", seed: 9)
        let refused = await message { try await lab(recipe).execute { false } as Any }
        #expect(refused.hasPrefix("p.h5 ('init.checkpoint') has changed since lab was begun"), "\(refused)")
        #expect(refused.contains(before))
        let again = try #require(try await lab(recipe).execute(force: true) { false })
        #expect(again.results.points[0].bitsPerByte != first.results.points[0].bitsPerByte)
        #expect(again.results.points[2].model != first.results.points[2].model)
    }

    @Test func `a sweep crosses several given parents with the rest, each compared with itself`() async throws {
        try write("a.h5")
        try write("b.h5", seed: 2, heads: 2)
        let parents = #"["\#(scratch["a.h5"])", "\#(scratch["b.h5"])"]"#
        let recipe = try recipe(
            """
            "lab": {"batch": 2, "seq": 16, "learningRate": 1e-3, "evaluation": {"window": 24},
              "sweep": {"parents": \(parents), "kvHeads": [1], "methods": ["mean", "first"], "tokens": [64, 128]}}
            """)
        #expect(try Recipe.parse(recipe.resolvedJSON) == recipe)
        let sweep = try lab(recipe)
        let plan = try sweep.planText()
        #expect(plan.contains("to make  parent-a  \(scratch["a.h5"])\n"))
        #expect(plan.contains("128 tokens: 4 steps of 2×16, ") && plan.contains(" resident at the peak"), "\(plan)")
        let result = try #require(try await sweep.execute { false }).results
        let names = ["parent", "parent continued", "kv1 mean", "kv1 first", "parent continued", "kv1 mean", "kv1 first"]
        #expect(result.points.map(\.name) == ["a", "b"].flatMap { parent in names.map { "\(parent) \($0)" } })
        #expect(result.points.map(\.budget) == [0, 64, 64, 64, 128, 128, 128, 0, 64, 64, 64, 128, 128, 128])
        #expect(result.summaries.count == 14 && result.summaries.allSatisfy { $0.bitsPerByte.n == 1 })
        let attentions = ["MHA", "MHA", "MQA", "MQA", "MHA", "MQA", "MQA"]
        #expect(result.points.filter { $0.parent == "b" }.map(\.attention) == attentions)
        // Each child stands against the control of its own parent.
        for point in result.points where point.kind == .child {
            let control = result.points.first {
                $0.parent == point.parent && $0.kind == .continued && $0.budget == point.budget
            }
            #expect(abs((point.toContinued ?? 0) - point.bitsPerByte + (control?.bitsPerByte ?? 0)) < 1e-9)
        }
        let html = String(decoding: scratch.bytes("lab/report.html"), as: UTF8.self)
        for part in ["128 tokens", "Recovery against tokens", "b kv1 mean", "parent-b"] {
            #expect(html.contains(part), "\(part)")
        }
        #expect(try #require(try await lab(recipe).execute { false }).stepsMade == 0)
    }

    @Test func `what doesn't fit a given parent is refused with its key before any work`() throws {
        try write("p.h5")
        let start = #""init": {"checkpoint": "\#(scratch["p.h5"])"}"#
        let whole = #""batch": 2, "seq": 16, "learningRate": 1e-3"#
        let cases: [(String, String)] = [
            (
                #""lab": {"tokens": 64, "children": [{"kvHeads": 1}]}"#,
                "'lab': p.h5 doesn't say how it was trained; give 'batch' and 'seq' and 'learningRate' here"
            ),
            (
                #""lab": {\#(whole), "children": [{"kvHeads": 1}]}"#,
                "'lab.alpha': p.h5 doesn't say how long it was trained; give its tokens as 'parentTokens', or 'steps' or 'tokens' in place of a share"
            ),
            (
                #""lab": {\#(whole), "steps": 2, "children": [{"kvHeads": 3}]}"#,
                "'lab.children[0]': 'kv3-learned' of p.h5: layer 0: 4 KV heads cannot form 3 equal groups; choose one of 1, 2, 4"
            ),
            (
                #""lab": {"batch": 2, "seq": 65, "learningRate": 1e-3, "steps": 2, "children": [{"kvHeads": 1}]}"#,
                "'lab.seq': 65 tokens, but p.h5 has 64 positions"
            ),
            (
                #""lab": {\#(whole), "sweep": {"kvHeads": [1], "tokens": [100, 101]}}"#,
                "'lab.sweep.tokens': 100 and 101 tokens in steps of 32 are both 3 steps"
            ),
            (
                #""lab": {\#(whole), "sweep": {"kvHeads": [1], "tokens": [64], "timing": {"context": 60}}}"#,
                "'lab.sweep.timing': 60 tokens of context and 32 decoded ones are beyond the 64 positions of p.h5"
            ),
        ]
        for (text, sentence) in cases {
            #expect(message { try lab(try recipe("\(start), \(text)")) } == sentence)
        }
        let large = #""lab": {"batch": 1024, "seq": 64, "learningRate": 1e-3, "steps": 2, "children": [{"kvHeads": 1}]}"#
        let short = message { try lab(try recipe("\(start), \(large)")) }
        #expect(
            short.hasPrefix("'lab.batch': a batch of 1024 sequences of 64 tokens is beyond the data: the training part has "),
            "\(short)")
        let bare = try Checkpoint.load(scratch["p.h5"])
        var untold = bare
        untold.tokenizer = nil
        try untold.save(to: scratch["untold.h5"])
        let text =
            #""init": {"checkpoint": "\#(scratch["untold.h5"])"}, "lab": {\#(whole), "steps": 2, "children": [{"kvHeads": 1}]}"#
        #expect(
            message { try lab(try recipe(text)) }
                == "'init.checkpoint': untold.h5 has no tokenizer; 'kvlab import untold.h5 --tokenizer FILE --out F.h5' makes a checkpoint with one"
        )
        #expect(!scratch.names.contains("lab"))
    }

    @Test func `learning from layers that the parent doesn't have is refused with both models' layers`() throws {
        try write("p.h5")
        try write("q.h5", layers: 3)
        let start = #""init": {"checkpoint": "\#(scratch["p.h5"])", "parent": "\#(scratch["q.h5"])"}"#
        func prepared(_ hidden: Double) throws -> PreparedRun {
            let uptrain = #"{"steps": 1, "batch": 2, "seq": 16, "learningRate": 1e-3, "distill": {"hidden": \#(hidden)}}"#
            return try PreparedRun(recipe(#"\#(start), "uptrain": \#(uptrain)"#), reporter: reporter)
        }
        #expect(
            message { try prepared(0.1) }
                == "'uptrain.distill.hidden': the parent has 3 layers of 16, the model 2 of 16: they have no layers in common; leave it out"
        )
        #expect(try prepared(0).plan.distillation?.teacher.config.layers == 3)
    }

    @Test func `an uptraining of a model of another origin has the length that its recipe says`() throws {
        try write("p.h5")
        func prepared(_ uptrain: String, train: String = "{}") throws -> PreparedRun {
            let start = #""init": {"checkpoint": "\#(scratch["p.h5"])", "convert": {"kvHeads": 1, "method": "mean"}}"#
            return try PreparedRun(recipe(#"\#(start), "uptrain": {\#(uptrain)}"#, train: train), reporter: reporter)
        }
        let whole = #""batch": 2, "seq": 16, "learningRate": 0.002"#
        let steps = try prepared(#"\#(whole), "steps": 5"#, train: #"{"schedule": "linear", "warmupSteps": 2}"#)
        #expect(steps.plan.steps == 5 && steps.plan.batch == 2 && steps.sequenceLength == 16)
        let schedule = LearningRateSchedule(shape: .linear, peak: 0.002, final: 0.0002, warmupSteps: 2, steps: 5)
        #expect(steps.plan.schedule == schedule)
        #expect(try prepared(#"\#(whole), "tokens": 100"#).plan.steps == 3)
        // A hundredth of 40,000 tokens.
        #expect(try prepared(#"\#(whole), "alpha": 0.01, "parentTokens": 40000"#).plan.steps == 13)
        let learning = try prepared(
            #"\#(whole), "steps": 4, "distill": {"weight": 0.5}, "stopAt": {"withinParentPercent": 900, "every": 2}, "keyValueShare": 0.5"#
        )
        #expect(learning.plan.distillation?.teacher.config.kvHeads.uniform == 4 && learning.plan.keyValueSteps == 2)
        // A third more than the parent's own work a token, the teacher's forward pass.
        let teacher = try #require(learning.plan.distillation).teacher.config
        let alone = RunEstimate.flopsPerToken(teacher, teacher: nil, seq: 16)
        #expect(abs(RunEstimate.flopsPerToken(teacher, teacher: teacher, seq: 16) / alone - 4.0 / 3) < 1e-12)
        // Already so near that the first look ends it.
        let outcome = try Run(learning, directory: scratch["run"], reporter: reporter).execute(resume: false)
        #expect(outcome.finished && outcome.step == 2)
        // What goes on from there takes batch, sequence and schedule from it, and asks for a length of its own.
        let next = #""init": {"checkpoint": "\#(scratch["run/model.h5"])"}"#
        let again = try PreparedRun(recipe(#"\#(next), "uptrain": {"steps": 3}"#), reporter: reporter)
        #expect(again.plan.steps == 3 && again.plan.batch == 2 && again.plan.firstSample == 4)
        let shorter = try PreparedRun(recipe(#"\#(next), "uptrain": {"steps": 3, "seq": 8}"#), reporter: reporter)
        #expect(shorter.plan.firstSample == 0)
        #expect(
            message { try PreparedRun(recipe(#"\#(next), "uptrain": {"alpha": 0.1}"#), reporter: reporter) }
                == "'uptrain.alpha': run/model.h5 doesn't say how long it was trained; give its tokens as 'parentTokens', or 'steps' or 'tokens' in place of a share"
        )
        #expect(
            message { try prepared(#""steps": 3, "seq": 16"#) }
                == "'uptrain': p.h5 doesn't say how it was trained; give 'batch' and 'learningRate' here")
        #expect(
            message { try prepared(#"\#(whole), "steps": 3"#, train: #"{"warmupSteps": 4}"#) }
                == "'train.warmupSteps': 4 of 3 steps; warm-up must fit in")
        #expect(
            message { try prepared(#"\#(whole), "steps": 9"#, train: #"{"schedule": "wsd", "warmupSteps": 8}"#) }
                == "'train.decayFraction': the decay (0.2 of 9 steps) begins before the warm-up's 8 steps are over")
    }
}
