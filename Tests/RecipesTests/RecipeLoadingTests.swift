import Foundation
import Models
import TestSupport
import Testing

@testable import Recipes

private let base = """
    { // comments stay out of the way
      "tokenizer": {"kind": "bpe", "vocabSize": 512},
      "data": {"files": ["a.txt", "b.txt"], "documentSeparator": "<|end|>"},
      "model": {"dim": 64, "layers": 2, "heads": 8, "kvHeads": [8, 2], "ffn": 128, /* of the */ "tied": false},
      "train": {"steps": 100, "batch": 4, "seq": 32, "learningRate": 1e-3, "warmupSteps": 10,},
    }
    """

struct RecipeLoadingTests {
    private let scratch = ScratchDirectory()

    private func message(_ path: String, _ overrides: [String] = []) -> String {
        do throws(RecipeError) {
            _ = try Recipe.load(path, overrides: overrides)
            return "accepted"
        } catch {
            return error.description.replacing(scratch.path + "/", with: "")
        }
    }

    @Test func `a recipe becomes typed values with defaults`() throws {
        let recipe = try Recipe.parse(base)
        #expect(recipe.name == "run")
        #expect(recipe.seed == 0)
        #expect(recipe.data.validation.fraction == 0.05)
        #expect(recipe.data.packing == .packed)
        #expect(recipe.train.beta2 == 0.95)
        #expect(recipe.train.weightDecay == 0.1)
        #expect(recipe.model?.headDim == [8])
        let config = try #require(recipe.model).config(vocabularySize: 512)
        try config.validate()
        #expect(config.kvHeads == .each([8, 2]))
        #expect(config.heads == .all(8))
        #expect(!config.tiedEmbeddings)
    }

    @Test func `the resolved recipe loads again to an equal one`() throws {
        let uptraining = """
            {"data": {"files": ["a"]}, "init": {"checkpoint": "p.h5", "convert": {"kvHeads": 2, "method": "first", "seed": 7}},
             "uptrain": {"alpha": 0.05, "learningRate": 0.1, "distill": {"weight": 0.7, "hidden": 1}, "stopAt": {"withinParentPercent": 1}, "keyValueShare": 0.3}}
            """
        let lab =
            base.dropLast(1)
            + #""seed": 9007199254740993, "lab": {"children": [{"kvHeads": 1}, {"kvHeads": 2, "method": "random"}]}}"#
        // What a parent with learned positions becomes has no rotated part.
        let latent = """
            {"data": {"files": ["a"]}, "init": {"checkpoint": "gpt2.h5", "convert": {"attention": {"kind": "mla", "rank": 8, "ropeHeadDim": 0}}},
             "uptrain": {"alpha": 0.05, "learningRate": 0.1}}
            """
        let through = #""through": {"evict": "h2o", "budget": "25%", "kvDtype": "int8", "prefill": 9}"#
        let cached = #"{"data": {"files": ["a"]}, "init": {"checkpoint": "p.h5"}, "uptrain": {\#(through)}}"#
        let caches =
            base.dropLast(1)
            + #""lab": {"children": [{"kvHeads": 1}], "through": {"evict": "h2o", "budget": 9}, "evaluation": {"kvDtype": "int8"}}}"#
        for text in [base, uptraining, latent, cached, String(lab), String(caches)] {
            let recipe = try Recipe.parse(text)
            #expect(try Recipe.parse(recipe.resolvedJSON) == recipe)
        }
        // A cache that names no encoding has that of the cache sizes shown.
        #expect(try Recipe.parse(String(caches)).lab?.uptrain.through?.cache.encoding == .int8)
        #expect(try Recipe.parse(cached).uptrain?.settings.through?.prefill == 9)
    }

    @Test func `extends merges objects and replaces arrays, relative to the file`() throws {
        try FileManager.default.createDirectory(atPath: scratch["deep"], withIntermediateDirectories: true)
        try scratch.write(base.utf8, to: "base.json")
        try scratch.write(
            #"{"extends": "../base.json", "data": {"files": ["c"]}, "train": {"steps": 7, "warmupSteps": 0}}"#.utf8,
            to: "deep/mid.json")
        try scratch.write(#"{"extends": "deep/mid.json", "name": "leaf", "train": {"seq": 16}}"#.utf8, to: "leaf.json")
        let recipe = try Recipe.load(scratch["leaf.json"])
        #expect(recipe.name == "leaf")
        #expect(recipe.data.files.map(\.path) == ["c"])
        #expect(recipe.data.documentSeparator == "<|end|>")
        #expect(recipe.train.steps == 7)
        #expect(recipe.train.seq == 16)
        #expect(recipe.train.batch == 4)
    }

    @Test func `a fault in an extended recipe is told with its own file and line`() throws {
        try scratch.write("{\n\"train\": {\"batch\": 0},\n\"data\": {\"files\": [\"a\"]}}".utf8, to: "base.json")
        try scratch.write(
            #"{"extends": "base.json", "tokenizer": {"kind": "byte"}, "model": {"dim": 8, "layers": 1, "heads": 1, "ffn": 8}, "train": {"steps": 1, "seq": 8, "learningRate": 1}}"#
                .utf8, to: "leaf.json")
        #expect(message(scratch["leaf.json"]) == "base.json:2:20: 'train.batch': 0, expected at least 1")
    }

    @Test func `a circle of extends is refused`() throws {
        try scratch.write(#"{"extends": "b.json"}"#.utf8, to: "a.json")
        try scratch.write(#"{"extends": "./a.json"}"#.utf8, to: "b.json")
        #expect(message(scratch["a.json"]).hasPrefix("recipes extend each other in a circle: "))
        try scratch.write(#"{"extends": 3}"#.utf8, to: "c.json")
        #expect(message(scratch["c.json"]) == "c.json:1:13: 'extends' is 3, expected a file name")
        try scratch.write(#"{"extends": "none.json"}"#.utf8, to: "d.json")
        #expect(message(scratch["d.json"]) == "none.json: cannot read the recipe: no such file (d.json:1:13 extends it)")
    }

    @Test func `what cannot be read is refused`() throws {
        #expect(message(scratch["none.json"]) == "none.json: cannot read the recipe: no such file")
        #expect(message(scratch.path).hasSuffix("cannot read the recipe: permission denied or a directory"))
        try scratch.write([0x7B, 0xFF, 0x7D], to: "latin.json")
        #expect(message(scratch["latin.json"]) == "latin.json: cannot read the recipe: byte 1 is not UTF-8")
        try scratch.write([UInt8](repeating: 0x20, count: 1 << 20 + 1), to: "big.json")
        #expect(message(scratch["big.json"]) == "big.json: cannot read the recipe: 1048577 bytes, a recipe has at most 1 MiB")
    }

    @Test func `overrides are JSON where they parse, else strings, and the last wins`() throws {
        try scratch.write(base.utf8, to: "r.json")
        let recipe = try Recipe.load(
            scratch["r.json"],
            overrides: [
                "train.steps=20", "train.steps=30", "name=second try", #"train.samplePrompt="In = the""#, "model.kvHeads=[8,8]",
                "data.validation.fraction=0.1", "train.sampleEvery=null", "data.files=[\"x\"]",
            ])
        #expect(recipe.train.steps == 30)
        #expect(recipe.name == "second try")
        #expect(recipe.train.samplePrompt == "In = the")
        #expect(recipe.model?.kvHeads == [8, 8])
        #expect(recipe.data.validation.fraction == 0.1)
        #expect(recipe.train.sampleEvery == 0)
        #expect(recipe.data.files.map(\.path) == ["x"])
    }

    @Test func `faults of overrides are told with the override`() throws {
        try scratch.write(base.utf8, to: "r.json")
        let cases: [(String, String)] = [
            ("train.stepz=3", "--set train.stepz=3: unknown key 'train.stepz'; did you mean 'train.steps'?"),
            ("trian.steps=3", "--set trian.steps=3: unknown key 'trian'; did you mean 'train'?"),
            ("train.steps=x", "--set train.steps=x: 'train.steps' is \"x\", expected an integer"),
            ("train.steps.more=1", "--set train.steps.more=1: 'train.steps' is an object, expected an integer"),
            ("model.kvHeads=3", "--set model.kvHeads=3: 'model.kvHeads': 8 heads cannot share 3 KV heads evenly (layer 0)"),
            ("train.steps", "--set 'train.steps': expected key.path=value, for example train.steps=100"),
            ("=3", "--set '=3': expected key.path=value, for example train.steps=100"),
            ("train..steps=3", "--set 'train..steps=3': expected key.path=value, for example train.steps=100"),
        ]
        for (override, sentence) in cases { #expect(message(scratch["r.json"], [override]) == sentence) }
    }

    @Test func `an override that removes an array's element or reaches into one is refused or works`() throws {
        try scratch.write(
            (base.dropLast(1) + #""lab": {"children": [{"kvHeads": 1}, {"kvHeads": 2, "method": "random"}]}}"#).utf8, to: "r.json"
        )
        let recipe = try Recipe.load(scratch["r.json"], overrides: ["lab.children[1].method=first", "lab.children[0].name=one"])
        #expect(recipe.lab?.children[1].conversion.method == "first")
        #expect(recipe.lab?.children[0].name == "one")
        #expect(
            message(scratch["r.json"], ["lab.children[2].method=first"])
                == "--set lab.children[2].method=first: 'lab.children[2]': the array has 2 elements, 0 to 1")
    }

    @Test func `strings keep their escapes and surrogate pairs`() throws {
        let node = try JSONNode.parse(#"{"a": "\u00e9\ud83d\ude00\n\"\\\/\t😀"}"#, file: "r")
        guard case .string(let value)? = node["a"]?.value else {
            Issue.record("no string")
            return
        }
        #expect(value == "é😀\n\"\\/\t😀")
    }

    @Test func `every shipped recipe loads`() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("recipes").path
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".json") }
        #expect(names.contains("quickstart.json"))
        for name in names {
            let recipe = try Recipe.load(folder + "/" + name)
            #expect(try Recipe.parse(recipe.resolvedJSON) == recipe, "\(name)")
            try recipe.model?.config(vocabularySize: 4096).validate()
        }
    }
}
