import Testing

@testable import Recipes

/// A recipe with `sweep` as the sweep's axes, alone on line 7.
private func recipe(_ sweep: String, lab: String = "") -> String {
    """
    {
    "tokenizer": {"kind": "byte"},
    "data": {"files": ["a.txt"]},
    "model": {"dim": 64, "layers": 2, "heads": 4, "ffn": 128, "maxSeq": 64},
    "train": {"steps": 100, "batch": 4, "seq": 32, "learningRate": 1e-3},
    "lab": {\(lab)"sweep":
    {\(sweep)}
    }}
    """
}

@Suite struct SweepRecipeTests {
    @Test func `a sweep becomes axes with defaults, shares in order`() throws {
        let sweep = try #require(Recipe.parse(recipe(#""kvHeads": [2, 1], "alphas": [0.1, 0.05]"#)).lab?.sweep)
        #expect(sweep.architectures == [ChildArchitecture(kvHeads: 2), ChildArchitecture(kvHeads: 1)])
        #expect(
            sweep.methods == ["learned"] && sweep.lengths == [.alpha(0.05), .alpha(0.1)] && sweep.seeds == [0]
                && sweep.uptrainSeeds == nil)
        #expect(!sweep.scratch && sweep.timing == nil && sweep.grouping == "contiguous")
    }

    @Test func `a resolved sweep loads again to an equal one`() throws {
        let text = recipe(
            #""kvHeads": [4, 1], "methods": ["mean", "svd"], "alphas": [0.5], "seeds": [3, 1], "uptrainSeeds": [7], "scratch": false, "timing": {"context": 30}, "store": "steps""#
        )
        let whole = try Recipe.parse(text)
        #expect(try Recipe.parse(whole.resolvedJSON) == whole)
        #expect(whole.lab?.sweep?.timing == SweepRecipe.Timing(batch: 8, context: 30, tokens: 32, rounds: 5))
        let start =
            #""init": {"checkpoint": "c.h5", "parent": "p.h5"}, "uptrain": {"seed": 4, "distill": {}}, "data": {"files": ["a"]}"#
        let child = try Recipe.parse("{\(start)}")
        #expect(child.`init`?.parent == "p.h5" && child.uptrain?.seed == 4)
        #expect(try Recipe.parse(child.resolvedJSON) == child)
    }

    @Test func `lengths in steps or tokens and given parents load again as they are`() throws {
        let tokens = try Recipe.parse(recipe(#""kvHeads": [1], "tokens": [9000, 3000]"#))
        #expect(tokens.lab?.lengths == [.tokens(3000), .tokens(9000)] && tokens.lab?.sweep?.scratch == false)
        let whole = """
            {"data": {"files": ["a.txt"]}, "lab": {"parentTokens": 2000000000000, "batch": 4, "seq": 32, "learningRate": 1e-4,
             "sweep": {"parents": ["a.gguf", "b"], "kvHeads": [1], "alphas": [1e-6]}}}
            """
        let given = try Recipe.parse(whole)
        #expect(given.lab?.sweep?.parents == ["a.gguf", "b"] && given.lab?.sweep?.scratch == false)
        #expect(given.lab?.sweep?.seeds == [] && given.model == nil && given.train.steps == nil)
        let listed = try Recipe.parse(
            #"{"data": {"files": ["a"]}, "init": {"checkpoint": "p"}, "lab": {"steps": 7, "seq": 8, "children": [{"kvHeads": 1}]}}"#
        )
        #expect(listed.lab?.length == .steps(7) && listed.lab?.uptrain.seq == 8)
        let child = try Recipe.parse(
            #"{"data": {"files": ["a"]}, "init": {"checkpoint": "p"}, "uptrain": {"tokens": 70, "batch": 2, "seq": 8}}"#)
        var settings = UptrainSettings()
        (settings.batch, settings.seq) = (2, 8)
        #expect(child.uptrain == UptrainRecipe(.tokens(70), settings))
        for recipe in [tokens, given, listed, child] { #expect(try Recipe.parse(recipe.resolvedJSON) == recipe) }
    }

    private static let refused: [(String, String, String)] = [
        (#""methods": ["mean"]"#, "", "r.json:7:1: 'lab.sweep.kvHeads' is missing"),
        (#""kvHeads": []"#, "", "r.json:7:13: 'lab.sweep.kvHeads': is empty"),
        (#""kvHeads": 2"#, "", "r.json:7:13: 'lab.sweep.kvHeads' is 2, expected an array of numbers"),
        (#""kvHeads": [2, 3]"#, "", "r.json:7:17: 'lab.sweep.kvHeads[1]': 4 KV heads cannot form 3 equal groups"),
        (#""kvHeads": [2, 0]"#, "", "r.json:7:17: 'lab.sweep.kvHeads[1]': 0, expected at least 1"),
        (#""kvHeads": [1.5]"#, "", "r.json:7:14: 'lab.sweep.kvHeads[0]' is 1.5, expected an integer"),
        (#""kvHeads": [2, 2]"#, "", "r.json:7:13: 'lab.sweep.kvHeads': names a value twice"),
        (
            #""architectures": [{"kind": "mla", "rank": 8, "ropeHeadDim": 8, "norm": true}]"#, "",
            "r.json:7:73: 'lab.sweep.architectures[0].norm': is decided by the conversion"
        ),
        (#""kvHeads": [2], "seeds": [1, 1]"#, "", "r.json:7:27: 'lab.sweep.seeds': names a value twice"),
        (#""kvHeads": [2], "seeds": [-1]"#, "", "r.json:7:28: 'lab.sweep.seeds[0]': -1, expected at least 0"),
        (#""kvHeads": [2], "alphas": [0]"#, "", "r.json:7:29: 'lab.sweep.alphas[0]': 0 is outside 1e-06 … 100.0"),
        (
            #""kvHeads": [2], "alphas": [0.05, 0.051]"#, "",
            "r.json:7:28: 'lab.sweep.alphas': 0.05 and 0.051 of 100 steps are both 5 steps"
        ),
        (
            #""kvHeads": [2], "timing": {"context": 60}"#, "",
            "r.json:7:28: 'lab.sweep.timing': 60 tokens of context and 32 decoded ones are beyond model.maxSeq, 64"
        ),
        (
            #""kvHeads": [2], "method": "mean""#, "",
            "r.json:7:18: unknown key 'lab.sweep.method'; did you mean 'lab.sweep.methods'?"
        ),
        (
            #""kvHeads": [2], "methods": ["mean", "best"]"#, "",
            "r.json:7:38: 'lab.sweep.methods[1]' is \"best\", expected one of \"mean\", \"first\", \"random\", \"medoid\", \"aligned\", "
                + "\"svd\", \"learned\""
        ),
        (
            #""kvHeads": [2], "grouping": "alike""#, "",
            "r.json:7:30: 'lab.sweep.grouping' is \"alike\", expected one of \"contiguous\", \"similarity\", \"activation\""
        ),
        (
            #""architectures": [{"kind": "mla", "rank": 600}]"#, "",
            "r.json:7:20: 'lab.sweep.architectures[0]': mla-r600 in a model of this shape: the model cannot be converted: a latent of 600 elements for keys and values of 128 together; choose 1 to 128"
        ),
        (#""kvHeads": [2]"#, #""alpha": 1, "#, "r.json:6:18: 'lab.alpha': a sweep has its own 'alphas'; leave it or 'sweep' out"),
        (
            #""kvHeads": [2]"#, #""children": [], "#,
            "r.json:6:21: 'lab.children': a sweep has its own axes; leave it or 'sweep' out"
        ),
    ]

    @Test func `what can't be swept is refused where it stands`() {
        for (sweep, lab, sentence) in Self.refused {
            let error = #expect(throws: RecipeError.self) { try Recipe.parse(recipe(sweep, lab: lab), name: "r.json") }
            #expect(error?.description == sentence)
        }
    }
}
