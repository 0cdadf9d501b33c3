import Checkpoints
import Files
import Foundation
import Models
import TestSupport
import Testing
import Text
import Training

@testable import Experiments
@testable import Recipes

@Suite struct RunTests {
    private let scratch = ScratchDirectory()
    private let reporter = ProgressReporter(quiet: true)

    /// A recipe over a small text that repeats itself, a model of a few thousand weights.
    private func recipe(_ changes: [String] = [], lab: Bool = false) throws -> Recipe {
        let words = ["alpha", "beta", "gamma", "delta", "epsilon"]
        let text = (0..<900).map { "\(words[$0 * $0 % 5]) meets \(words[$0 % 3]) at \($0 % 7).\n" }.joined()
        try scratch.write(Array(text.utf8), to: "text.txt")
        let labSection =
            lab
            ? #", "lab": {"alpha": 0.25, "distill": {"weight": 0.3}, "children": [{"kvHeads": 2}, {"kvHeads": 1, "method": "first"}], "evaluation": {"window": 24}}"#
            : ""
        try scratch.write(
            Array(
                """
                {"name": "tiny", "seed": 3, "tokenizer": {"kind": "bpe", "vocabSize": 300},
                 "data": {"files": ["\(scratch["text.txt"])"], "cache": "\(scratch["cache"])"},
                 "model": {"dim": 16, "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 32},
                 "train": {"steps": 8, "batch": 4, "seq": 24, "learningRate": 0.003, "warmupSteps": 2, "validateEvery": 4, "sampleEvery": 5,
                   "checkpointEvery": 3}\(labSection)}
                """.utf8), to: "recipe.json")
        return try Recipe.load(scratch["recipe.json"], overrides: changes)
    }

    private func run(_ recipe: Recipe, _ name: String) throws -> Run {
        Run(try PreparedRun(recipe, reporter: reporter), directory: scratch[name], reporter: reporter)
    }

    private func weights(_ path: String) throws -> [[Float]] {
        let checkpoint = try Checkpoint.load(path)
        return checkpoint.parameters.names.map { checkpoint.parameters[$0]?.float32().array() ?? [] }
    }

    @Test(arguments: ["lock", "recipe.json", "metrics.jsonl", "events.out.tfevents.kvlab", "checkpoint.h5", "model.h5"])
    func `a link where a run writes is refused before any work, and what it names untouched`(name: String) throws {
        try FileManager.default.createDirectory(atPath: scratch["made"], withIntermediateDirectories: true)
        try scratch.write(Array("precious".utf8), to: "victim")
        for target in [scratch["victim"], scratch["absent"]] {
            try? FileManager.default.removeItem(atPath: scratch["made/" + name])
            try FileManager.default.createSymbolicLink(atPath: scratch["made/" + name], withDestinationPath: target)
            var steps = 0
            #expect(throws: FileError.symbolicLink(path: scratch["made/" + name])) {
                _ = try run(recipe(), "made").execute(resume: false, onStep: { _ in steps += 1 })
            }
            #expect(steps == 0)
        }
        #expect(scratch.bytes("victim") == Array("precious".utf8) && !scratch.names.contains("absent"))
    }

    @Test func `in sequential order a run reads one text after the other, and again from the first`() throws {
        try scratch.write(Array(repeating: UInt8(ascii: "a"), count: 300), to: "a.txt")
        try scratch.write(Array(repeating: UInt8(ascii: "b"), count: 300), to: "b.txt")
        let recipe = try recipe([
            #"data.files=["\#(scratch["b.txt"])", "\#(scratch["a.txt"])"]"#, #"data.order="sequential""#,
            #"tokenizer={"kind": "byte"}"#,
        ])
        let data = try PreparedRun(recipe, reporter: reporter).data
        // 570 bytes to train on, an end-of-text token behind each text, in 22 windows of 24.
        let first = (0..<44).map { data.samples($0, 1).tokens[0] }
        let epoch = [Int32](repeating: 98, count: 13) + [Int32](repeating: 97, count: 9)
        #expect(first == epoch + epoch)
    }

    @Test func `a run stopped by a signal and resumed writes what the uninterrupted one writes`() throws {
        let recipe = try recipe()
        let whole = try run(recipe, "whole").execute(resume: false)
        #expect(whole.finished && whole.step == 8 && whole.tokensSeen == 8 * 4 * 24)
        let stopped = try run(recipe, "parts").execute(resume: false) { true }
        #expect(!stopped.finished && stopped.step == 1)
        var calls = 0
        let again = try run(recipe, "parts").execute(resume: true) {
            calls += 1
            return calls == 3
        }
        #expect(again.step == 4)
        let rest = try run(recipe, "parts").execute(resume: true)
        #expect(rest.finished)
        #expect(try weights(scratch["parts/model.h5"]) == weights(scratch["whole/model.h5"]))
        #expect(rest.validationLoss == whole.validationLoss)
        func stable(_ name: String) -> [MetricsFile.Line] {
            MetricsFile.read(path: scratch[name + "/metrics.jsonl"]).map { line in
                var line = line
                line.tokensPerSecond = nil
                return line
            }
        }
        #expect(stable("parts") == stable("whole"))
    }

    @Test func `TensorBoard's events of a run that was resumed are those of its metrics`() throws {
        func events(_ name: String) throws -> [Int] {
            scratch.names.contains(name) ? EventFile.steps(path: scratch[name + "/" + EventFile.name]) : []
        }
        let prepared = try PreparedRun(try recipe(), reporter: reporter)
        func run(_ name: String) -> Run { Run(prepared, directory: scratch[name], logs: [.tensorboard], reporter: reporter) }
        _ = try run("parts").execute(resume: false) { true }
        _ = try run("parts").execute(resume: true)
        _ = try run("whole").execute(resume: false)
        let metrics = MetricsFile.read(path: scratch["parts/metrics.jsonl"]).filter { $0.sample == nil }.map(\.step)
        #expect(metrics.count == 10)
        #expect(try events("parts") == metrics && events("whole") == metrics)
    }

    @Test func `a run over weighted texts of several kinds resumes as the uninterrupted one, and its data is drawn by weight`()
        throws
    {
        let words = ["alpha", "beta", "gamma", "delta", "epsilon"]
        let lines = (0..<300).map { "{\"body\": \"\(words[$0 * $0 % 5]) leaves \(words[$0 % 3]) at \($0 % 7).\"}\n" }.joined()
        try FileManager.default.createDirectory(atPath: scratch["lines"], withIntermediateDirectories: true)
        try scratch.write(Array(lines.utf8), to: "lines/a.jsonl")
        try scratch.write(Array(lines.utf8), to: "lines/b.jsonl")
        let files = """
            [{"path": "\(scratch["text.txt"])", "weight": 3}, {"path": "\(scratch["lines"])", "field": "body", "weight": 1}]
            """
        let recipe = try recipe(["data.files=\(files)"])
        #expect(try Recipe.parse(recipe.resolvedJSON).data == recipe.data)
        let prepared = try PreparedRun(recipe, reporter: reporter)
        #expect(prepared.inputs.inputs.map(\.key) == ["data.files[0]", "data.files[1]"])
        #expect(prepared.inputs.inputs[1].path == scratch["lines"] && prepared.inputs.inputs[1].bytes == 2 * lines.utf8.count)
        let samples = prepared.data.samples(0, 400)
        let leaving = (0..<400).count { sample in
            let text = prepared.tokenizer.decode(Array(samples.tokens[sample * 24..<sample * 24 + 24]))
            return String(decoding: text, as: UTF8.self).contains("leaves")
        }
        #expect((70...130).contains(leaving), "\(leaving)")
        _ = try run(recipe, "whole").execute(resume: false)
        #expect(try run(recipe, "parts").execute(resume: false) { true }.step == 1)
        #expect(try run(recipe, "parts").execute(resume: true).finished)
        #expect(try weights(scratch["parts/model.h5"]) == weights(scratch["whole/model.h5"]))
        // One more file in the folder is another input.
        #expect(try run(recipe, "more").execute(resume: false) { true }.step == 1)
        try scratch.write(Array(lines.utf8), to: "lines/c.jsonl")
        #expect(throws: TrainingError.self) { try run(recipe, "more").execute(resume: true) }
    }

    @Test func `a run over chats learns the assistant's turns, by the template that the recipe or the parent names`() throws {
        let chats = (0..<200).map { number in
            """
            {"messages": [{"role": "user", "content": "ask \(number % 7)"}, {"role": "assistant", "content": "ANSWER \(number % 5)"}]}

            """
        }
        try scratch.write(Array(chats.joined().utf8), to: "chats.jsonl")
        let template =
            "{% for m in messages %}{{ m.role[0] ~ ':' ~ m.content ~ ';' }}{% endfor %}{{ 'a:' if add_generation_prompt }}"
        try scratch.write(Array(template.utf8), to: "template.jinja")
        let data = ["data.files=[\"\(scratch["chats.jsonl"])\"]", "tokenizer={\"kind\": \"byte\"}"]
        let missing = #expect(throws: TextError.self) { _ = try PreparedRun(recipe(data), reporter: reporter) }
        #expect(
            missing?.description.contains("chats.jsonl:1: the line has a chat in 'messages' that needs a chat template") == true)
        let chatRecipe = try recipe(data + ["data.chatTemplate=\(scratch["template.jinja"])"])
        let prepared = try PreparedRun(chatRecipe, reporter: reporter)
        #expect(prepared.inputs.inputs.map(\.key) == ["data.files[0]", "data.chatTemplate"])
        let learnt = prepared.data.samples(0, 50).targets.filter { $0 >= 0 }
        #expect(Set(learnt.map { UInt8($0) }) == Set("ANSWER 01234;".utf8))
        // One bit more a byte is one nat less times 1 / ln 2: a byte a token, the assistant's alone.
        #expect(abs(prepared.bitsPerByte(M_LN2) - 1) < 1e-12)
        _ = try run(chatRecipe, "whole").execute(resume: false)
        #expect(try run(chatRecipe, "parts").execute(resume: false) { true }.step == 1)
        #expect(try run(chatRecipe, "parts").execute(resume: true).finished)
        #expect(try weights(scratch["parts/model.h5"]) == weights(scratch["whole/model.h5"]))
        // The model has no template of its own; one that has is asked for it.
        let start = InitRecipe(checkpoint: scratch["whole/model.h5"])
        var uptraining = chatRecipe.uptraining(name: "child", from: start, UptrainRecipe(.steps(2)))
        uptraining.data.chatTemplate = nil
        let refused = #expect(throws: TextError.self) { _ = try PreparedRun(uptraining, reporter: reporter) }
        #expect(refused?.description.contains("and 'tiny' has none") == true, "\(String(describing: refused))")
        var checkpoint = try Checkpoint.load(scratch["whole/model.h5"])
        checkpoint.tokenIDs.chatTemplate = template
        try checkpoint.save(to: scratch["chat.h5"])
        uptraining.`init`?.checkpoint = scratch["chat.h5"]
        #expect(
            try PreparedRun(uptraining, reporter: reporter).data.samples(0, 50).targets == prepared.data.samples(0, 50).targets)
    }

    @Test func `a weighted text that is too short for a sequence is named`() throws {
        try scratch.write(Array("short".utf8), to: "short.txt")
        let files = """
            [{"path": "\(scratch["text.txt"])", "weight": 3}, {"path": "\(scratch["short.txt"])", "weight": 1}]
            """
        let error = #expect(throws: ExperimentError.self) {
            _ = try PreparedRun(recipe(["data.files=\(files)"]), reporter: reporter)
        }
        #expect(error?.description.contains("'data.files[1]'") == true, "\(String(describing: error))")
    }

    @Test func `a directory that holds a run is not overwritten, nor resumed with another recipe`() throws {
        let recipe = try recipe()
        _ = try run(recipe, "run").execute(resume: false)
        #expect(throws: TrainingError.runExists(directory: scratch["run"])) { try run(recipe, "run").execute(resume: false) }
        let other = try self.recipe(["train.learningRate=0.001"])
        #expect(throws: TrainingError.otherRecipe(directory: scratch["run"])) { try run(other, "run").execute(resume: true) }
        #expect(throws: TrainingError.nothingToResume(directory: scratch["none"])) {
            try run(recipe, "none").execute(resume: true)
        }
    }

    @Test func `an uptraining takes its share of the parent's steps and goes on in its data`() throws {
        let parent = try recipe()
        _ = try run(parent, "parent").execute(resume: false)
        let child = parent.uptraining(
            name: "child",
            from: InitRecipe(
                checkpoint: scratch["parent/model.h5"],
                convert: .init(ConversionRecipe("mean", ["kvHeads": .integer(2)]), seed: 0)),
            UptrainRecipe(.alpha(0.25)))
        let prepared = try PreparedRun(child, reporter: reporter)
        #expect(prepared.plan.steps == 2 && prepared.plan.batch == 4 && prepared.plan.firstSample == 32)
        #expect(prepared.plan.schedule.warmupSteps == 1 && prepared.plan.schedule.peak == 0.003)
        #expect(prepared.config.kvHeads.uniform == 2)
        _ = try Run(prepared, directory: scratch["child"], reporter: reporter).execute(resume: false)
        let lineage = try Checkpoint.load(scratch["child/model.h5"]).lineage
        #expect(lineage.parentHash == (try Checkpoint.load(scratch["parent/model.h5"]).lineage.contentHash))
        #expect(lineage.steps == 10 && lineage.tokensSeen == 10 * 4 * 24)
        #expect(lineage.conversion == "mean, 4 to 2 KV heads")
    }

    @Test func `a lab that is interrupted goes on where it stopped and ends with the whole table`() async throws {
        let recipe = try recipe(lab: true)
        let section = try #require(recipe.lab)
        let lab = try Sweep(recipe: recipe, lab: section, directory: scratch["lab"], reporter: reporter)
        var polls = 0
        #expect(
            try await lab.execute(resume: false) {
                polls += 1
                return polls > 9
            } == nil)
        let result = try #require(try await lab.execute(resume: true) { false }?.comparison)
        #expect(result.rows.map(\.name) == ["parent", "parent continued", "kv2-learned", "kv1-first"])
        #expect(result.rows.map(\.attention) == ["MHA", "MHA", "GQA-2", "MQA"])
        #expect(result.rows.map(\.kvBytesPerToken) == [256, 256, 128, 64].map { $0 / 2 })
        for row in result.rows.dropFirst() {
            #expect(row.uptrainedTokens == 2 * 4 * 24)
            #expect((row.standardError ?? 0) > 0 && (row.klDivergence ?? -1) > 0)
        }
        #expect(result.rows[1].bitsPerByteBefore == nil && result.rows[2].bitsPerByteBefore != nil)
        func uptrain(_ part: String) throws -> UptrainRecipe? {
            try Recipe.parse(String(decoding: scratch.bytes("lab/\(part)/recipe.json"), as: UTF8.self)).uptrain
        }
        // The children learn from the parent; it would learn nothing from itself.
        #expect(try uptrain("control")?.settings.distill == nil && uptrain("kv1-first")?.settings.distill?.weight == 0.3)
        let saved = try JSONDecoder().decode(ComparisonTable.self, from: Data(scratch.bytes("lab/results.json")))
        #expect(saved == result)
        await #expect(throws: TrainingError.runExists(directory: scratch["lab"])) {
            try await lab.execute(resume: false) { false }
        }
        #expect(try lab.planText().hasSuffix("6 steps, 0 to make: 0 tokens to train on"))
    }

    @Test func `an uptraining learns from its unconverted parent and ends where it is near enough to that`() throws {
        let parent = try recipe()
        _ = try run(parent, "parent").execute(resume: false)
        func prepared(_ uptrain: UptrainRecipe) throws -> PreparedRun {
            let start = InitRecipe(
                checkpoint: scratch["parent/model.h5"],
                convert: .init(ConversionRecipe("mean", ["kvHeads": .integer(2)]), seed: 0))
            return try PreparedRun(parent.uptraining(name: "child", from: start, uptrain), reporter: reporter)
        }
        let plain = try prepared(UptrainRecipe(.alpha(1)))
        #expect(plain.plan.distillation == nil && plain.plan.stop == nil && plain.plan.keyValueSteps == 0)
        var settings = UptrainSettings()
        settings.distill = .init(weight: 0.6, temperature: 2, hidden: 0.1)
        settings.stopAt = .init(withinParentPercent: 400, every: 3)
        settings.keyValueShare = 0.25
        let whole = try prepared(UptrainRecipe(.alpha(1), settings))
        #expect(whole.plan.distillation?.teacher.config.kvHeads.uniform == 4 && whole.config.kvHeads.uniform == 2)
        #expect(whole.plan.distillation?.weight == 0.6 && whole.plan.keyValueSteps == 2)
        let own = try DecoderLM(
            config: try #require(whole.plan.distillation).teacher.config,
            parameters: Checkpoint.load(scratch["parent/model.h5"]).parameters)
        #expect(abs((whole.plan.stop?.loss ?? 0) - 5 * whole.data.validationLoss(own)) < 1e-9)
        let outcome = try Run(whole, directory: scratch["child"], reporter: reporter).execute(resume: false)
        #expect(outcome.finished && outcome.step == 3 && outcome.tokensSeen == 3 * 4 * 24)
        #expect(FileManager.default.fileExists(atPath: scratch["child/model.h5"]))
        #expect(try Checkpoint.load(scratch["child/model.h5"]).lineage.steps == 11)
    }

    @Test func `a batch beyond the data is refused before training`() throws {
        let recipe = try recipe(["train.batch=100000"])
        let error = #expect(throws: ExperimentError.self) { try PreparedRun(recipe, reporter: reporter) }
        #expect(error?.description.contains("'train.batch': a batch of 100000 sequences of 24 tokens is beyond the data") == true)
    }
}
