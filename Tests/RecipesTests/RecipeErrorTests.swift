import Inference
import Kernels
import Testing

@testable import Recipes

/// A recipe that is right, with `lines` in place of parts of it.
private func recipe(
    tokenizer: String = #""tokenizer": {"kind": "byte"},"#,
    data: String = #""data": {"files": ["a.txt"]},"#,
    model: String = #""model": {"dim": 64, "layers": 2, "heads": 4, "kvHeads": 2, "ffn": 128},"#,
    train: String = #""train": {"steps": 10, "batch": 4, "seq": 32, "learningRate": 1e-3}"#,
    more: String = ""
) -> String {
    "{\n\(tokenizer)\n\(data)\n\(model)\n\(train)\n\(more)}"
}

private func train(_ more: String) -> String {
    recipe(train: #""train": {"steps": 10, "batch": 4, "seq": 32, "learningRate": 1e-3, \#(more)}"#)
}

private func model(_ text: String) -> String { recipe(model: "\"model\": {\(text)},") }

private func lab(_ text: String) -> String { recipe(more: ", \"lab\": {\(text)}") }

/// An uptraining through `cache`.
private func through(_ cache: String) -> String {
    recipe(
        tokenizer: "", model: "", train: "\"train\": {}",
        more: ", \"init\": {\"checkpoint\": \"a.h5\"}, \"uptrain\": {\"through\": {\(cache)}}")
}

private func compression(_ caches: String) -> String {
    lab("\"children\": [{\"kvHeads\": 1}], \"compression\": [\(caches)]")
}

/// From a recipe's text to the sentence that refuses it.
struct RecipeErrorTests {
    private static let syntax: [(String, String)] = [
        ("", "r.json:1:1: expected a value, found the end of the file"),
        ("{", "r.json:1:2: expected a key, found the end of the file"),
        ("{\"a\" 1}", "r.json:1:6: expected ':' after 'a'"),
        ("{\"a\": }", "r.json:1:7: expected a value, found '}'"),
        ("{\"a\": 1 \"b\": 2}", "r.json:1:9: expected ',' or '}', found '\"'"),
        ("{\"a\": [1, 2}", "r.json:1:12: expected ',' or ']', found '}'"),
        ("{a: 1}", "r.json:1:2: expected a key in double quotes, found 'a'"),
        ("{\"a\": 1,\n \"a\": 2}", "r.json:2:2: 'a' stands here a second time; the first is on line 1"),
        ("{\"a\": yes}", "r.json:1:7: expected a value, found 'yes'"),
        ("{\"a\": NaN}", "r.json:1:7: expected a value, found 'NaN'"),
        ("{\"a\": 01}", "r.json:1:7: '01' is no number"),
        ("{\"a\": 1.}", "r.json:1:7: '1.' is no number"),
        ("{\"a\": 1.e5}", "r.json:1:7: '1.e5' is no number"),
        ("{\"a\": --1}", "r.json:1:7: '--1' is no number"),
        ("{\"a\": 1e999}", "r.json:1:7: '1e999' is no number"),
        ("{\"a\": \"x\n\"}", "r.json:1:7: this string never ends"),
        ("{\"a\": \"\\q\"}", "r.json:1:10: '\\q' is no escape"),
        ("{\"a\": \"\\u12\"}", "r.json:1:12: \\u needs four hexadecimal digits"),
        ("{\"a\": \"\\ud800\"}", "r.json:1:14: half a surrogate pair"),
        ("{\"a\": \"\u{1}\"}", "r.json:1:7: a control character inside a string; write it as \\u0001"),
        ("{} {}", "r.json:1:4: expected the end of the file, found '{'"),
        ("{,}", "r.json:1:2: expected a key in double quotes, found ','"),
        ("[,]", "r.json:1:2: expected a value, found ','"),
        ("// é\n/* open", "r.json:2:1: this comment never ends"),
        (String(repeating: "[", count: 70), "r.json:1:65: nested deeper than 64 levels"),
    ]

    private static let keys: [(String, String)] = [
        ("[]", "r.json:1:1: 'the recipe' is an array, expected an object"),
        ("{}", "r.json:1:1: 'data' is missing"),
        (recipe(more: ", \"trian\": {}"), "r.json:6:3: unknown key 'trian'; did you mean 'train'?"),
        (
            recipe(more: ", \"zzzzzzzz\": {}"),
            "r.json:6:3: unknown key 'zzzzzzzz'; valid here: extends, name, seed, data, tokenizer, model, train, init, uptrain, lab"
        ),
        (train("\"heads\": 4"), "r.json:5:69: unknown key 'train.heads'; 'heads' belongs under 'model'"),
        (
            model(#""dim": 64, "layers": 2, "heads": 4, "ffn": 128, "rank": 8"#),
            "r.json:4:59: unknown key 'model.rank'; 'rank' belongs under 'model.attention'"
        ),
        (
            train("\"kv_heads\": 2"),
            "r.json:5:69: unknown key 'train.kv_heads'; 'kv_heads' belongs under 'model', 'init.convert', 'lab.children[]' "
                + "or 'lab.sweep'"
        ),
        (recipe(more: ", \"fraction\": 0.1"), "r.json:6:3: unknown key 'fraction'; 'fraction' belongs under 'data.validation'"),
        (
            lab(#""children": [{"kvHeads": 1, "seed": 1}]"#),
            "r.json:6:39: unknown key 'lab.children[0].seed'; 'seed' belongs under the recipe itself"
        ),
        (
            recipe(data: #""data": {"files": ["a"], "name": "x"},"#),
            "r.json:3:26: unknown key 'data.name'; 'name' belongs under the recipe itself"
        ),
        (train("\"warmpSteps\": 3"), "r.json:5:69: unknown key 'train.warmpSteps'; did you mean 'train.warmupSteps'?"),
        (train("\"learning_rate\": 3"), "r.json:5:69: unknown key 'train.learning_rate'; did you mean 'train.learningRate'?"),
        (
            model(#""dim": 64, "layers": 2, "heads": 4, "kv_heads": 2, "ffn": 128"#),
            "r.json:4:47: unknown key 'model.kv_heads'; did you mean 'model.kvHeads'?"
        ),
        (
            recipe(data: #""data": {"files": ["a"], "validation": {"fracton": 0.1}},"#),
            "r.json:3:41: unknown key 'data.validation.fracton'; did you mean 'data.validation.fraction'?"
        ),
        (
            lab(#""children": [{"kvHeads": 1, "methd": "mean"}]"#),
            "r.json:6:39: unknown key 'lab.children[0].methd'; did you mean 'lab.children[0].method'?"
        ),
        (model(#""dim": 64, "layers": 2, "ffn": 128"#), "r.json:4:10: 'model.heads' is missing"),
        (recipe(train: #""train": {"steps": 10, "batch": 4, "seq": 32}"#), "r.json:5:10: 'train.learningRate' is missing"),
        (recipe(model: ""), "r.json:1:1: 'model' is missing"),
        (recipe(tokenizer: ""), "r.json:1:1: 'tokenizer' is missing"),
        (recipe(tokenizer: #""tokenizer": {"kind": "bpe"},"#), "r.json:2:14: 'tokenizer.vocabSize' is missing"),
        (recipe(tokenizer: #""tokenizer": {"kind": "file"},"#), "r.json:2:14: 'tokenizer.path' is missing"),
    ]

    private static let values: [(String, String)] = [
        (
            train("\"batch2\": 1").replacing("\"batch\": 4", with: "\"batch\": \"4\""),
            "r.json:5:33: 'train.batch' is \"4\", expected an integer"
        ),
        (train("\"warmupSteps\": 1.5"), "r.json:5:84: 'train.warmupSteps' is 1.5, expected an integer"),
        (train("\"dropout\": true"), "r.json:5:80: 'train.dropout' is true, expected a number"),
        (train("\"samplePrompt\": 3"), "r.json:5:85: 'train.samplePrompt' is 3, expected a string"),
        (
            train("\"schedule\": \"cosin\""),
            "r.json:5:81: 'train.schedule' is \"cosin\", expected one of \"cosine\", \"linear\", \"wsd\", \"constant\""
        ),
        (
            recipe(tokenizer: #""tokenizer": {"kind": "bpc"},"#),
            "r.json:2:23: 'tokenizer.kind' is \"bpc\", expected one of \"bpe\", \"byte\", \"file\""
        ),
        (
            model(#""dim": 64, "layers": 2, "heads": 4, "ffn": 128, "tied": 1"#),
            "r.json:4:67: 'model.tied' is 1, expected true or false"
        ),
        (
            model(#""dim": 64, "layers": 2, "heads": "4", "ffn": 128"#),
            "r.json:4:44: 'model.heads' is \"4\", expected an integer, or an array with one a layer"
        ),
        (
            model(#""dim": 64, "layers": 2, "heads": [4, null], "ffn": 128"#),
            "r.json:4:48: 'model.heads[1]' is null, expected an integer"
        ),
        (
            recipe(data: #""data": {"files": "a.txt"},"#),
            "r.json:3:19: 'data.files' is \"a.txt\", expected an array of paths, or of objects with a path"
        ),
        (
            recipe(data: #""data": {"files": ["a", 2]},"#),
            "r.json:3:25: 'data.files[1]' is 2, expected a path, or an object with a path"
        ),
        (recipe(data: #""data": {"files": [{"field": "a"}]},"#), "r.json:3:20: 'data.files[0].path' is missing"),
        (
            recipe(data: #""data": {"files": [{"path": "a", "format": "text", "field": "b"}]},"#),
            "r.json:3:61: 'data.files[0].field': plain text has no fields; leave it out"
        ),
        (lab(#""children": 3"#), "r.json:6:23: 'lab.children' is 3, expected an array of objects"),
        (
            compression(#"{"evict": "h2o", "budget": "half"}"#),
            "r.json:6:84: 'lab.compression[0].budget' is \"half\", expected slots, such as 512 or 25%"
        ),
        (
            compression(#"{"evict": "none", "budget": 4}"#),
            "r.json:6:67: 'lab.compression[0].evict' is \"none\", expected one of "
                + EvictionPolicies.names.map { "\"\($0)\"" }.joined(separator: ", ")
        ),
        (
            compression(#"{"kvDtype": true}"#),
            "r.json:6:69: 'lab.compression[0].kvDtype' is true, expected one of "
                + KVEncoding.all.map { "\"\($0.name)\"" }.joined(separator: ", ") + ", or such as \"int8+kivi4:8-15\""
        ),
        (compression(#"{"evict": "h2o"}"#), "r.json:6:57: 'lab.compression[0].budget' is missing"),
        (
            lab(#""children": [{"kvHeads": 1}], "evaluation": {"kvDtype": "int3"}"#),
            "r.json:6:67: 'lab.evaluation.kvDtype' is \"int3\", expected one of \"fp32\", \"fp16\", \"bf16\", \"int8\", "
                + "\"k8v4\", \"q8_0\", \"q4_0\", \"kivi4\", \"kivi2\", \"int4\""
        ),
        (train("\"warmupSteps\": -1"), "r.json:5:84: 'train.warmupSteps': -1, expected at least 0"),
        (train("\"dropout\": 1"), "r.json:5:80: 'train.dropout': 1 is outside 0.0 … 0.95"),
        (
            train("\"clip\": 1").replacing("\"batch\": 4", with: "\"batch\": 0"),
            "r.json:5:33: 'train.batch': 0, expected at least 1"
        ),
        (
            train("\"clip\": 1").replacing("\"steps\": 10", with: "\"steps\": 99999999999999999999"),
            "r.json:5:20: 'train.steps' is 99999999999999999999, expected an integer"
        ),
        (recipe(more: ", \"seed\": -1"), "r.json:6:11: 'seed': -1, expected at least 0"),
        (recipe(more: ", \"name\": \"../up\""), "r.json:6:11: 'name': '../up' cannot name a directory"),
        (
            recipe(data: #""data": {"files": ["a", {"path": "b", "weight": 2}]},"#),
            "r.json:3:19: 'data.files[0]': has no weight, but others have; give all of them one or none"
        ),
        (
            recipe(data: #""data": {"files": [{"path": "a", "weight": 2}], "order": "sequential"},"#),
            "r.json:3:58: 'data.order': 'sequential' reads one text after the other, but the weights of 'data.files' mix them; leave one of them out"
        ),
        (
            recipe(data: #""data": {"files": [{"path": "a", "weight": 2000}, {"path": "b", "weight": 1}]},"#),
            "r.json:3:19: 'data.files[1].weight': 1.0 of 2001.0 is less than a thousandth, the least share that is drawn"
        ),
        (
            recipe(data: #""data": {"files": [{"path": "a", "wheight": 2}]},"#),
            "r.json:3:34: unknown key 'data.files[0].wheight'; did you mean 'data.files[0].weight'?"
        ),
        (recipe(data: #""data": {"files": []},"#), "r.json:3:19: 'data.files': names no file"),
        (
            recipe(data: #""data": {"files": ["a"], "documentSeparator": ""},"#),
            "r.json:3:47: 'data.documentSeparator': is empty"
        ),
    ]

    private static let combinations: [(String, String)] = [
        (
            model(#""dim": 64, "layers": 2, "heads": 4, "kvHeads": 3, "ffn": 128"#),
            "r.json:4:58: 'model.kvHeads': 4 heads cannot share 3 KV heads evenly (layer 0)"
        ),
        (
            model(#""dim": 64, "layers": 2, "heads": 4, "kvHeads": [4, 8], "ffn": 128"#),
            "r.json:4:58: 'model.kvHeads': 4 heads cannot share 8 KV heads evenly (layer 1)"
        ),
        (
            model(#""dim": 64, "layers": 2, "heads": 4, "kvHeads": [4, 2, 1], "ffn": 128"#),
            "r.json:4:58: 'model.kvHeads': 3 values for 2 layers"
        ),
        (
            model(#""dim": 60, "layers": 2, "heads": 4, "ffn": 128"#),
            "r.json:4:44: 'model.headDim': 15 (dim / heads) is odd (layer 0); RoPE rotates pairs"
        ),
        (
            model(#""dim": 64, "layers": 2, "heads": 4, "headDim": 7, "ffn": 128"#),
            "r.json:4:58: 'model.headDim': 7 is odd (layer 0); RoPE rotates pairs"
        ),
        (
            model(#""dim": 64, "layers": 2, "heads": 5, "ffn": 128"#),
            "r.json:4:44: 'model.heads': a dim of 64 cannot be cut into 5 heads; say 'headDim' as well"
        ),
        (
            model(#""dim": 64, "layers": 2, "heads": 4, "ffn": 128, "maxSeq": 16"#),
            "r.json:5:43: 'train.seq': 32 tokens, but model.maxSeq is 16"
        ),
        (train("\"warmupSteps\": 11"), "r.json:5:84: 'train.warmupSteps': 11 of 10 steps; warm-up must fit in"),
        (
            train("\"accumulation\": 3"),
            "r.json:5:85: 'train.accumulation': a batch of 4 cannot be cut in 3 equal parts"
        ),
        (
            train("\"schedule\": \"wsd\", \"warmupSteps\": 9, \"decayFraction\": 0.5"),
            "r.json:5:123: 'train.decayFraction': the decay (0.5 of 10 steps) begins before the warm-up's 9 steps are over"
        ),
        (
            recipe(tokenizer: #""tokenizer": {"kind": "byte", "vocabSize": 300},"#),
            "r.json:2:44: 'tokenizer.vocabSize': means nothing for kind \"byte\""
        ),
        (
            recipe(more: ", \"init\": {\"checkpoint\": \"a.h5\"}"),
            "r.json:4:10: 'model': the checkpoint named by 'init' gives it; leave it out"
        ),
        (
            recipe(tokenizer: "", model: "", more: ", \"init\": {\"checkpoint\": \"a.h5\"}, \"uptrain\": {}"),
            "r.json:5:20: 'train.steps': an uptraining has a length of its own; set uptrain.steps, uptrain.tokens or uptrain.alpha"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: "\"train\": {\"batch\": 8}",
                more: ", \"init\": {\"checkpoint\": \"a.h5\"}, \"uptrain\": {}"),
            "r.json:5:20: 'train.batch': an uptraining takes it from the parent; set uptrain.batch to change it"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: "\"train\": {}",
                more: ", \"init\": {\"checkpoint\": \"a.h5\"}, \"uptrain\": {\"distill\": {\"weight\": 0}}"),
            "r.json:6:58: 'uptrain.distill': with 'weight' and 'hidden' 0 nothing is learnt from the parent"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: "\"train\": {}",
                more: ", \"init\": {\"checkpoint\": \"a.h5\"}, \"uptrain\": {\"stopAt\": {}}"),
            "r.json:6:57: 'uptrain.stopAt.withinParentPercent' is missing"
        ),
        (
            recipe(train: "\"train\": {}", more: ", \"uptrain\": {}"),
            "r.json:6:14: 'uptrain': uptraining starts from a checkpoint; add 'init'"
        ),
        (through(""), "r.json:6:58: 'uptrain.through': names neither 'evict' nor 'kvDtype'"),
        (
            through(#""kvDtype": "fp32""#),
            "r.json:6:58: 'uptrain.through': 'dtype=fp32' keeps every token as it is; leave it out"
        ),
        (
            through(#""kvDtype": "int8", "prefill": 4"#),
            "r.json:6:89: 'uptrain.through.prefill': means nothing without 'evict'; leave it out"
        ),
        (through(#""evict": "h2o""#), "r.json:6:58: 'uptrain.through.budget' is missing"),
        (
            through(#""evict": "h2o", "budget": 4, "recent": 4"#),
            "r.json:6:85: 'uptrain.through.budget': 4, expected at least 5: 'h2o' keeps 0 sinks and the newest 4, and one more"
        ),
        (
            through(#""evict": "h2o", "budget": 8, "merge": "cam""#),
            "r.json:6:97: 'uptrain.through.merge': changes kept values when slots are evicted, which training through a cache does "
                + "not; leave it out"
        ),
        (
            lab(
                #""children": [{"kvHeads": 1, "name": "a-through"}, {"kvHeads": 1, "name": "a"}], "through": {"kvDtype": "int8"}"#
            ),
            "r.json:6:24: 'lab.children[0]': the uptraining of 'a' through 'lab.through' is called 'a-through'; give it another 'name'"
        ),
        (lab(#""children": []"#), "r.json:6:23: 'lab.children': is empty"),
        (compression(""), "r.json:6:56: 'lab.compression': is empty"),
        (
            compression(#"{"kvDtype": "int8"}, {"dtype": "int8"}"#),
            "r.json:6:78: 'lab.compression[1]': 'dtype=int8' stands there twice"
        ),
        (
            compression(#"{"kvDtype": "int8", "dtype": "int8"}"#),
            "r.json:6:86: 'lab.compression[0].dtype': 'kvDtype' says that already; leave it out"
        ),
        (
            compression(#"{"evict": "h2o", "budget": 4, "recent": 4}"#),
            "r.json:6:84: 'lab.compression[0].budget': 4, expected at least 5: 'h2o' keeps 0 sinks and the newest 4, and one more"
        ),
        (
            compression(#"{"evict": "h2o", "budget": 8, "window": 4}"#),
            "r.json:6:97: 'lab.compression[0].window': means nothing for 'h2o'"
        ),
        (compression(#"{"sinks": 4}"#), "r.json:6:67: 'lab.compression[0].sinks': means nothing without 'evict'"),
        (
            lab(#""children": [{"kvHeads": 1}], "evaluation": {"prefill": 9}"#),
            "r.json:6:67: 'lab.evaluation.prefill': means nothing without 'lab.compression', whose policies decide behind a "
                + "prompt; leave it out"
        ),
        (
            lab(#""children": [{"kvHeads": 1}], "evaluation": {"window": 8, "prefill": 8}"#),
            "r.json:6:80: 'lab.evaluation.prefill': 8 tokens, expected less than the 8 of 'window'"
        ),
        (
            lab(#""children": [{"kvHeads": 1}, {"kvHeads": 4}]"#),
            "r.json:6:52: 'lab.children[1].kvHeads': 2 KV heads cannot form 4 equal groups"
        ),
        (
            lab(#""children": [{"kvHeads": 1}, {"kvHeads": 1}]"#),
            "r.json:6:40: 'lab.children[1]': a second child is called 'kv1-learned'; give it a 'name'"
        ),
        (
            lab(#""children": [{"kvHeads": 1, "method": "best"}]"#),
            "r.json:6:49: 'lab.children[0].method' is \"best\", expected one of \"mean\", \"first\", \"random\", \"medoid\", "
                + "\"aligned\", \"svd\", \"learned\""
        ),
        (
            lab(#""children": [{"kvHeads": 1, "name": "control"}]"#),
            "r.json:6:47: 'lab.children[0].name': 'control' cannot name a child"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "uptrain": {"steps": 3, "tokens": 9}"#),
            "r.json:6:69: 'uptrain.tokens': the length is given by 'steps' already; leave one of them out"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "uptrain": {"alpha": 0.1, "steps": 9}"#),
            "r.json:6:70: 'uptrain.steps': the length is given by 'alpha' already; leave one of them out"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "uptrain": {"steps": 3, "parentTokens": 9}"#),
            "r.json:6:75: 'uptrain.parentTokens': is what alpha takes a share of; the length doesn't depend on it"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5", "parent": "b.h5"}, "uptrain": {"steps": 3}"#),
            "r.json:6:44: 'init.parent': nothing looks at the parent: 'uptrain' has neither 'distill' nor 'stopAt'; leave it out or add one"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5", "parent": "b.h5"}, "lab": {"children": [{"kvHeads": 1}]}"#),
            "r.json:6:44: 'init.parent': a lab's children learn from 'checkpoint'; leave it out"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5", "convert": {"kvHeads": 1}}, "lab": {"children": [{"kvHeads": 1}]}"#),
            "r.json:6:45: 'init.convert': a lab converts its parent itself: 'lab' names the children; leave it out"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "uptrain": {}, "lab": {"children": [{"kvHeads": 1}]}"#),
            "r.json:6:46: 'uptrain': 'lab' says how its children are uptrained; leave it out"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "lab": {"sweep": {"parents": ["b.h5"], "kvHeads": [1]}}"#),
            "r.json:6:64: 'lab.sweep.parents': 'init' names a parent already; leave one of them out"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "lab": {"sweep": {"kvHeads": [1], "seeds": [1]}}"#),
            "r.json:6:78: 'lab.sweep.seeds': the parents are given, not drawn; 'uptrainSeeds' repeats their uptrainings"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "lab": {"sweep": {"kvHeads": [1], "scratch": true}}"#),
            "r.json:6:80: 'lab.sweep.scratch': a given parent's training cannot be repeated for the child's architecture; the parent continued is the control"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "lab": {"sweep": {"kvHeads": [1], "alphas": [0.1], "tokens": [9]}}"#),
            "r.json:6:96: 'lab.sweep.tokens': the length is given by 'alphas' already; leave one of them out"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "lab": {"tokens": 5, "sweep": {"kvHeads": [1]}}"#),
            "r.json:6:53: 'lab.tokens': a sweep has its own 'tokens'; leave it or 'sweep' out"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {"steps": 5}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "lab": {"children": [{"kvHeads": 1}]}"#),
            "r.json:5:20: 'train.steps': an uptraining has a length of its own; set lab.steps, lab.tokens or lab.alpha"
        ),
        (
            recipe(
                tokenizer: "", model: "", train: #""train": {"batch": 5}"#,
                more: #", "init": {"checkpoint": "a.h5"}, "lab": {"children": [{"kvHeads": 1}]}"#),
            "r.json:5:20: 'train.batch': an uptraining takes it from the parent; set lab.batch to change it"
        ),
        (
            recipe(more: #", "lab": {"parentTokens": 9, "children": [{"kvHeads": 1}]}"#),
            "r.json:6:27: 'lab.parentTokens': the lab trains its parent itself, whose tokens are known; leave it out"
        ),
        (
            recipe(
                train: #""train": {"steps": 10, "batch": 4, "seq": 32, "learningRate": 1e-3, "accumulation": 2}"#,
                more: #", "lab": {"batch": 3, "children": [{"kvHeads": 1}]}"#),
            "r.json:5:85: 'train.accumulation': lab's batch of 3 cannot be cut in 2 equal parts"
        ),
    ]

    private static let attentions: [(String, String)] = [
        (#"{"kind": "mlaa"}"#, #"model.attention.kind"#),
        (#"{"rank": 8}"#, "model.attention.kind"),
        (#"{"kind": "mla", "rank": 8}"#, "model.attention.ropeHeadDim"),
        (#"{"kind": "mla", "rank": 8, "ropeHeadDim": 4, "window": 3}"#, #"means nothing for kind "mla""#),
        (#"{"kind": "mla", "rank": 8, "ropeHeadDim": 16}"#, "leaves nothing beside"),
        (#"{"kind": "mla", "rank": 8, "ropeHeadDim": 0}"#, "ropeHeadDim': 0, expected at least 1"),
        (#"{"kind": "cross-layer", "share": 3}"#, "limit of 2"),
        (#"{"kind": "cross-layer"}"#, "model.attention.share"),
        (#"{"kind": "yoco"}"#, "model.attention.window"),
        (#"{"kind": "hybrid", "window": 8, "fullEvery": 1}"#, "fullEvery"),
        (#"{"kind": "hybrid", "window": 0, "fullEvery": 2}"#, "model.attention.window"),
        (#"{"kind": "hybrid", "window": 8, "fullEvery": 2, "sink": 2}"#, "sinks"),
    ]

    @Test func `attentions that cannot be are refused with the key or the reason`() {
        for (attention, part) in Self.attentions {
            let text = model(#""dim": 64, "layers": 2, "heads": 4, "kvHeads": 2, "ffn": 128, "attention": \#(attention)"#)
            do {
                _ = try Recipe.parse(text, name: "r.json")
                Issue.record("\(attention) is accepted")
            } catch {
                #expect("\(error)".contains(part), "\(attention): \(error)")
            }
        }
    }

    @Test func `every attention becomes a configuration`() throws {
        for (attention, label) in [
            (#"{"kind": "mla", "rank": 8, "ropeHeadDim": 4}"#, "MLA-8"), (#"{"kind": "cross-layer", "share": 2}"#, "CLA-2 GQA-2"),
            (#"{"kind": "yoco", "window": 16}"#, "YOCO GQA-2 w16"),
            (#"{"kind": "hybrid", "window": 16, "fullEvery": 2, "sinks": 4}"#, "GQA-2 w16+4, 1 of 2 full"),
        ] {
            let text = model(#""dim": 64, "layers": 2, "heads": 4, "kvHeads": 2, "ffn": 128, "attention": \#(attention)"#)
            let recipe = try Recipe.parse(text, name: "r.json")
            // YOCO of two layers shares nothing: its one upper layer is the one that makes the global keys.
            let found = try #require(recipe.model).config(vocabularySize: 64).attentionLabel
            #expect(found == (label.hasPrefix("YOCO") ? "GQA-2 w16, 1 of 2 full" : label))
        }
    }

    private func check(_ cases: [(String, String)]) {
        for (text, sentence) in cases {
            var found = "accepted"
            do throws(RecipeError) { _ = try Recipe.parse(text, name: "r.json") } catch { found = error.description }
            #expect(found == sentence, "\(text)")
        }
    }

    @Test func `what is no JSON is refused where it goes wrong`() { check(Self.syntax) }
    @Test func `unknown and missing keys are refused with the nearest valid key`() { check(Self.keys) }
    @Test func `values of another type or out of range are refused`() { check(Self.values) }
    @Test func `impossible combinations are refused`() { check(Self.combinations) }

    @Test func `the recipe the tables start from is right`() throws { _ = try Recipe.parse(recipe(), name: "r.json") }

    @Test func `the nearest key is the one of fewest edits, within reason`() {
        #expect(nearestKey(to: "kvheads", in: ["heads", "kvHeads", "headDim"]) == "kvHeads")
        #expect(nearestKey(to: "elephant", in: ["heads", "kvHeads"]) == nil)
    }
}
