import Foundation
import Recipes
import TestSupport
import Testing

/// Labs over a model in place of a recipe, as a user runs them.
@Suite struct LabCommandTests {
    private let scratch = ScratchDirectory()

    private func run(_ arguments: String...) throws -> Tool.Outcome { try Tool.run(arguments, in: scratch.path) }

    @Test func `a lab over a model writes the recipe that it runs, and goes on from that`() throws {
        try scratch.trainTinyModel()
        let made = try run(
            "lab", "run/model.h5", "--kv-heads", "2,1", "--methods", "mean", "--uptrain-tokens", "128", "--text", "text.txt",
            "--out",
            "lab")
        #expect(made.status == 0 && made.output.contains("kv2-mean") && made.output.contains("kv1-mean"), "\(made.error)")
        #expect(made.error.contains("wrote lab/lab.json"), "\(made.error)")
        let recipe = try Recipe.parse(String(decoding: scratch.bytes("lab/lab.json"), as: UTF8.self))
        #expect(recipe.`init`?.checkpoint == "run/model.h5" && recipe.lab?.length == .tokens(128))
        // The parent says how it was trained.
        let uptrain = try #require(recipe.lab?.uptrain)
        #expect(uptrain.batch == nil && uptrain.learningRate == nil && uptrain.distill?.weight == 0.9)
        let again = try run("lab", "run/model.h5", "--kv-heads", "1", "--text", "text.txt", "--out", "lab")
        #expect(
            again.status != 0
                && again.error.contains(
                    "lab/lab.json is there already; go on with it: kvlab lab lab/lab.json --out lab --resume"),
            "\(again.error)")
        let resumed = try run("lab", "lab/lab.json", "--out", "lab", "--resume")
        #expect(resumed.status == 0 && resumed.error.contains("6 steps, 0 to make"), "\(resumed.error)")
    }

    @Test func `a dry run shows the recipe of a model, with a latent of the KV heads' bytes, and leaves nothing behind`() throws {
        try scratch.trainTinyModel()
        let shown = try run(
            "lab", "run/model.h5", "--kv-heads", "1", "--methods", "learned,mla", "--uptrain-tokens", "1k", "--text", "text.txt",
            "--out",
            "lab", "--dry-run")
        // Two elements of the eight of a KV head's key and value are rotated.
        #expect(shown.status == 0 && shown.output.contains(#""rank" : 6"#), "\(shown.output)\(shown.error)")
        #expect(shown.output.contains("to make  parent  run/model.h5") && shown.output.contains("to make  mla-r6  1,024 tokens"))
        #expect(shown.output.contains(" FLOPs, about ") && shown.output.contains(" resident at the peak"), "\(shown.output)")
        #expect(!scratch.names.contains("lab"))
        // A text in lines of JSON, under a key of its own.
        try scratch.write(Array((String(repeating: #"{"story": "once upon a time"}"# + "\n", count: 600)).utf8), to: "t.data")
        let lines = try run(
            "lab", "run/model.h5", "--kv-heads", "1", "--text", "t.data", "--text-format", "jsonl", "--text-field", "story",
            "--budget-minutes", "10000", "--out", "lab", "--dry-run")
        #expect(lines.status == 0 && lines.output.contains(#""field" : "story""#), "\(lines.output)\(lines.error)")
    }

    @Test func `what a lab over a model can't be is refused with its option or key, and can be put right`() throws {
        try scratch.trainTinyModel()
        func refused(_ arguments: String..., because sentence: String) throws {
            let outcome = try Tool.run(["lab"] + arguments, in: scratch.path)
            #expect(outcome.status != 0 && outcome.error.contains(sentence), "\(arguments): \(outcome.error)")
            #expect(!scratch.names.contains("x") || scratch.bytes("x/lab.json").isEmpty)
        }
        let model = "run/model.h5"
        try refused(model, because: "run/model.h5 is a model, not a recipe: say with --kv-heads and --text what to do with it")
        try refused(
            "recipe.json", "--kv-heads", "1",
            because: "--kv-heads describes a lab over a model; recipe.json is a recipe, which says that itself")
        try refused(
            model, "--kv-heads", "1", "--methods", "best", "--text", "text.txt", "--out", "x",
            because: "no conversion method 'best'")
        try refused(
            model, "--kv-heads", "1", "--methods", "yoco", "--text", "text.txt", "--out", "x",
            because: "'yoco' has settings of its own: write a recipe")
        try refused(
            model, "--kv-heads", "3", "--methods", "mean", "--text", "text.txt", "--out", "x",
            because: "'lab.children[0]': 'kv3-mean' of run/model.h5: layer 0: 4 KV heads cannot form 3 equal groups")
        try refused(
            model, "--kv-heads", "1", "--text", "text.txt", "--budget-minutes", "0.000001", "--out", "x",
            because: "after conversions and scores, 1e-06 minutes leave less than a step of 64 tokens")
        try refused(model, "--kv-heads", "1", "--text", "none.txt", "--out", "x", because: "none.txt")
        try refused(model, "--kv-heads", "1", "--text", "text.txt", "--batch", "0", because: "--batch is 0, expected at least 1")
        try refused("recipe.json", "--text-format", "jsonl", because: "--text-format describes a lab over a model")
        try refused(model, "--kv-heads", "1,1", "--text", "text.txt", because: "--kv-heads")
        try refused(model, "--kv-heads", "1", "--uptrain-tokens", "0.5", "--text", "text.txt", because: "--uptrain-tokens")
    }
}
