@testable import Checkpoints
import Files
import Foundation
import Recipes
import TestSupport
import Testing
import Text
import Training

@testable import Experiments

/// What becomes of runs, labs and sweeps whose texts, tokenizers and models change.
@Suite struct ChangedInputTests {
    private let scratch = ScratchDirectory()
    private let reporter = ProgressReporter(quiet: true)

    /// Another text for each `seed`, all of the same length.
    private func text(_ seed: Int) -> String {
        let words = ["alpha", "brave", "gamma", "delta", "omega"]
        return (0..<900).map { "\(words[($0 * $0 + seed) % 5]) meets \(words[$0 % 3]) at \($0 % 7).\n" }.joined()
    }

    private func write(_ seed: Int, _ name: String = "text.txt") throws {
        try AtomicFile.write(Array(text(seed).utf8), to: scratch[name])
    }

    private func recipe(tokenizer: String = #"{"kind": "byte"}"#, lab: String = "") throws -> Recipe {
        if scratch.bytes("text.txt").isEmpty { try write(0) }
        return try Recipe.parse(
            """
            {"name": "tiny", "seed": 3, "tokenizer": \(tokenizer),
             "data": {"files": ["\(scratch["text.txt"])"], "cache": "\(scratch["cache"])"},
             "model": {"dim": 16, "layers": 2, "heads": 4, "ffn": 24, "maxSeq": 32},
             "train": {"steps": 6, "batch": 4, "seq": 24, "learningRate": 0.003, "validationSequences": 8, "checkpointEvery": 1}\(lab)}
            """)
    }

    private func run(_ recipe: Recipe, _ name: String = "run") throws -> Run {
        Run(try PreparedRun(recipe, reporter: reporter), directory: scratch[name], reporter: reporter)
    }

    private func digest(_ name: String = "text.txt") -> String { SHA256Digest(of: scratch.bytes(name)).hex }

    private func lineage(_ path: String) throws -> Lineage { try Checkpoint.load(scratch[path]).lineage }

    @Test func `a text changed before a resume is refused with both digests, and forced it is in the lineage`() throws {
        let recipe = try recipe()
        #expect(try run(recipe).execute(resume: false) { true }.step == 1)
        let before = digest()
        try write(1)
        let refused = #expect(throws: TrainingError.self) { try run(recipe).execute(resume: true) }
        let sentence = refused?.description ?? ""
        #expect(
            sentence.hasPrefix("\(scratch["text.txt"]) ('data.files[0]') has changed since \(scratch["run"]) was begun")
                && sentence.contains(before) && sentence.contains(digest()) && sentence.contains("--force"), "\(sentence)")
        #expect(try lineage("run/checkpoint.h5").inputs?.inputs.map(\.sha256) == [before])
        // Put back, it is the run that it was.
        try write(0)
        #expect(try run(recipe).execute(resume: true) { true }.step == 2)
        try write(1)
        #expect(try run(recipe).execute(resume: true, force: true) { true }.step == 3)
        let change = InputDigests.Change(
            key: "data.files[0]", path: scratch["text.txt"], recorded: before, found: digest(), step: 2)
        #expect(try lineage("run/checkpoint.h5").changedInputs == [change])
        #expect(try lineage("run/checkpoint.h5").inputs?.inputs.map(\.sha256) == [digest()])
        // The text it now goes on with needs no force, and the change stays told to the end.
        #expect(try run(recipe).execute(resume: true).finished)
        #expect(try lineage("run/model.h5").changedInputs == [change])
        #expect(change.text.hasPrefix("input data.files[0] changed after 2 steps, \(scratch["text.txt"]): SHA-256 \(before)"))
    }

    @Test func `another tokenizer file or configuration is refused, and one that gives other tokens by force too`() throws {
        func tokenizer(_ seed: Int) throws {
            try write(seed, "learn.txt")
            let bpe = try BPETrainer.train(corpus: try Corpus(paths: [scratch["learn.txt"]]), vocabularySize: 280)
            try AtomicFile.write(bpe.serialized.bytes, to: scratch["tokenizer.json"])
        }
        try tokenizer(0)
        let recipe = try recipe(tokenizer: #"{"kind": "file", "path": "\#(scratch["tokenizer.json"])"}"#)
        _ = try run(recipe).execute(resume: false) { true }
        let recorded = try #require(try lineage("run/checkpoint.h5").inputs?.inputs)
        #expect(recorded.map(\.key) == ["data.files[0]", "tokenizer.path"])
        #expect(recorded[1].sha256 == digest("tokenizer.json"))
        let same = scratch.bytes("tokenizer.json")
        try AtomicFile.write(same + [10], to: scratch["tokenizer.json"])
        let refused = #expect(throws: TrainingError.self) { try run(recipe).execute(resume: true) }
        #expect(refused?.description.contains("tokenizer.json ('tokenizer.path') has changed") == true)
        try tokenizer(2)
        try #require(scratch.bytes("tokenizer.json") != same)
        #expect(throws: TrainingError.otherTokenizer(directory: scratch["run"])) {
            try run(recipe).execute(resume: true, force: true)
        }
    }

    @Test func `a run that started from a model now replaced is refused, and forced it keeps its own parent`() throws {
        let recipe = try recipe()
        _ = try run(recipe, "parent").execute(resume: false)
        let parent = try #require(try lineage("parent/model.h5").contentHash)
        let child = recipe.uptraining(
            name: "child", from: InitRecipe(checkpoint: scratch["parent/model.h5"]), UptrainRecipe(.alpha(0.5)))
        _ = try run(child, "child").execute(resume: false) { true }
        #expect(try lineage("child/checkpoint.h5").inputs?.inputs.last?.sha256 == parent)
        var other = try Checkpoint.load(scratch["parent/model.h5"])
        other.lineage.tokensSeen += 1
        let hash = try other.save(to: scratch["parent/model.h5"])
        let refused = #expect(throws: TrainingError.self) { try run(child, "child").execute(resume: true) }
        let sentence = refused?.description ?? ""
        #expect(
            sentence.contains("\(scratch["parent/model.h5"]) ('init.checkpoint')") && sentence.contains(parent)
                && sentence.contains(hash), "\(sentence)")
        #expect(try run(child, "child").execute(resume: true, force: true).finished)
        let forced = try lineage("child/model.h5")
        #expect(forced.parentHash == parent && forced.steps == 9 && forced.tokensSeen == 9 * 4 * 24)
        #expect(forced.changedInputs?.map(\.found) == [hash] && forced.changedInputs?.first?.path == nil)
        #expect(other.lineage.tokensSeen != 6 * 4 * 24)
    }

    @Test func `a checkpoint without digests, as earlier versions wrote it, is resumed to the same weights`() throws {
        let recipe = try recipe()
        _ = try run(recipe, "whole").execute(resume: false)
        _ = try run(recipe).execute(resume: false) { true }
        var old = try Checkpoint.load(scratch["run/checkpoint.h5"])
        old.lineage.inputs = nil
        old.lineage.recipe = recipe.resolvedJSON
        try old.save(to: scratch["run/checkpoint.h5"])
        #expect(try run(recipe).execute(resume: true).finished)
        #expect(try lineage("run/model.h5").contentHash == lineage("whole/model.h5").contentHash)
        // A record that a later version wrote can't be compared either.
        old.lineage.inputs = InputDigests([InputDigests.Input(key: "data.files[0]", model: nil, contentHash: "?")])
        old.lineage.inputs?.version = 2
        try old.save(to: scratch["run/checkpoint.h5"])
        #expect(try run(recipe).execute(resume: true).finished)
    }

    // MARK: Labs

    private static let lab =
        #", "lab": {"alpha": 0.5, "children": [{"kvHeads": 1, "method": "mean"}], "evaluation": {"window": 24"#

    private func lab(_ recipe: Recipe, _ name: String = "lab") throws -> Sweep {
        try Sweep(recipe: recipe, lab: try #require(recipe.lab), directory: scratch[name], reporter: reporter)
    }

    private static let parts = ["parent", "control", "kv1-mean"]

    private func texts(_ name: String = "lab") throws -> Set<String?> {
        Set(try Self.parts.map { try lineage("\(name)/\($0)/model.h5").inputs?.inputs[0].sha256 })
    }

    @Test(arguments: [0, 3, 8, Int.max])
    func `a lab whose text changed is refused, and forced it makes all of one text`(polls: Int) async throws {
        let recipe = try recipe(lab: Self.lab + "}}")
        var count = 0
        // In the parent, in its last step, behind it, and never.
        let first = try await lab(recipe).execute(resume: false) {
            count += 1
            return count > polls
        }
        let finished = first != nil
        #expect(finished == (polls == .max))
        let before = digest()
        try write(1)
        let refused = await #expect(throws: TrainingError.self) { try await lab(recipe).execute(resume: true) { false } }
        #expect(refused?.description.contains("\(scratch["text.txt"]) ('data.files[0]')") == true)
        #expect(refused?.description.contains(before) == true && refused?.description.contains(digest()) == true)
        let forced = try #require(try await lab(recipe).execute(resume: true, force: true) { false })
        #expect(try texts() == [digest()])
        let fresh = try #require(try await lab(recipe, "fresh").execute(resume: false) { false })
        #expect(forced.comparison?.rows == fresh.comparison?.rows)
        for part in Self.parts {
            #expect(try lineage("lab/\(part)/model.h5").contentHash == lineage("fresh/\(part)/model.h5").contentHash)
        }
        #expect(try await lab(recipe).execute(resume: true) { false }?.comparison?.rows == fresh.comparison?.rows)
    }

    @Test func `parts of another text are refused where the lab's own record is gone`() async throws {
        let recipe = try recipe(lab: Self.lab + "}}")
        _ = try await lab(recipe).execute(resume: false) { false }
        try FileManager.default.removeItem(atPath: scratch["lab/inputs.json"])
        try FileManager.default.removeItem(atPath: scratch["lab/kv1-mean"])
        try write(1)
        let refused = await #expect(throws: TrainingError.self) { try await lab(recipe).execute(resume: true) { false } }
        #expect(refused?.description.contains("has changed since \(scratch["lab"])/parent was begun") == true)
        #expect(!FileManager.default.fileExists(atPath: scratch["lab/kv1-mean"]))
    }

    @Test func `a lab's evaluation text is an input, and forced all rows are scored on the new one`() async throws {
        try write(5, "eval.txt")
        let recipe = try recipe(lab: Self.lab + #", "text": "\#(scratch["eval.txt"])"}}"#)
        _ = try await lab(recipe).execute(resume: false) { false }
        let before = digest("eval.txt")
        try write(6, "eval.txt")
        let refused = await #expect(throws: TrainingError.self) { try await lab(recipe).execute(resume: true) { false } }
        #expect(
            refused?.description.contains("eval.txt ('lab.evaluation.text')") == true
                && refused?.description.contains(before) == true)
        let models = try Self.parts.map { try lineage("lab/\($0)/model.h5").contentHash }
        let forced = try #require(try await lab(recipe).execute(resume: true, force: true) { false })
        #expect(try Self.parts.map { try lineage("lab/\($0)/model.h5").contentHash } == models)
        let fresh = try #require(try await lab(recipe, "fresh").execute(resume: false) { false })
        #expect(forced.comparison?.rows == fresh.comparison?.rows)
    }

    // MARK: Sweeps

    private static let axes =
        #", "lab": {"distill": {"weight": 0.3}, "sweep": {"kvHeads": [1], "methods": ["mean"], "alphas": [0.5], "seeds": [1], "scratch": true}, "evaluation": {"window": 24, "contextTokens": 32"#

    @Test func `a sweep into two folders makes the same content hashes, in folders of the same names`() async throws {
        let recipe = try recipe(lab: Self.axes + "}}")
        let first = try #require(try await lab(recipe, "a").execute { false }).results
        let second = try #require(try await lab(recipe, "deeper/b").execute { false }).results
        #expect(first.points.map(\.model) == second.points.map(\.model) && Set(first.points.map(\.model)).count == 4)
        #expect(first.points.map(\.folder) == second.points.map(\.folder))
        for folder in try FileManager.default.contentsOfDirectory(atPath: scratch["a/steps"]) {
            #expect(try lineage("a/steps/\(folder)/model.h5") == lineage("deeper/b/steps/\(folder)/model.h5"))
        }
    }

    @Test func `a sweep scores anew where its evaluation text changed, and makes no model again`() async throws {
        try write(5, "eval.txt")
        let recipe = try recipe(lab: Self.axes + #", "text": "\#(scratch["eval.txt"])"}}"#)
        let first = try #require(try await lab(recipe, "a").execute { false })
        try write(6, "eval.txt")
        let again = try #require(try await lab(recipe, "a").execute { false })
        let fresh = try #require(try await lab(recipe, "b").execute { false })
        #expect(again.stepsMade == 0 && again.results.points.map(\.model) == first.results.points.map(\.model))
        #expect(again.results.points.map(\.bitsPerByte) == fresh.results.points.map(\.bitsPerByte))
        #expect(zip(again.results.points, first.results.points).allSatisfy { $0.bitsPerByte != $1.bitsPerByte })
    }

    @Test func `a text replaced while a sweep runs leaves the sweep with the text it began with`() async throws {
        let recipe = try recipe(lab: Self.axes + "}}")
        let whole = try #require(try await lab(recipe, "a").execute { false }).results
        var polls = 0
        let replaced = try #require(
            try await lab(recipe, "b").execute {
                polls += 1
                if polls == 7 { try? write(1) }
                return false
            }
        ).results
        #expect(replaced.points.map(\.model) == whole.points.map(\.model))
        #expect(replaced.points.map(\.bitsPerByte) == whole.points.map(\.bitsPerByte))
        // Begun again it makes models of the new text.
        #expect(try #require(try await lab(recipe, "b").execute { false }).stepsMade == 5)
    }

    @Test func `a text written to in place, or a model replaced, while a sweep runs ends it with a sentence`() async throws {
        let recipe = try recipe(lab: Self.axes + "}}")
        var polls = 0
        let changed = await #expect(throws: TextError.self) {
            try await lab(recipe, "a").execute {
                polls += 1
                if polls == 3 {
                    let handle = FileHandle(forWritingAtPath: scratch["text.txt"])
                    handle?.seekToEndOfFile()
                    handle?.write(Data("more".utf8))
                }
                return false
            }
        }
        #expect(changed == .changed(path: scratch["text.txt"]))
        try write(0)
        polls = 0
        let replaced = await #expect(throws: ExperimentError.self) {
            try await lab(recipe, "b").execute {
                polls += 1
                let steps = (try? FileManager.default.contentsOfDirectory(atPath: scratch["b/steps"])) ?? []
                guard polls == 7, let parent = steps.first(where: { $0.hasPrefix("parent") }),
                    var model = try? Checkpoint.load(scratch["b/steps/\(parent)/model.h5"])
                else { return false }
                model.lineage.name = "another"
                _ = try? model.save(to: scratch["b/steps/\(parent)/model.h5"])
                return false
            }
        }
        #expect(replaced?.description.contains("was changed while the sweep ran: its SHA-256 was") == true)
    }
}
