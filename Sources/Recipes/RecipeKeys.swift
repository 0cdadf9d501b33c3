import Checkpoints
import Conversion
import Inference
import JSON
import Kernels
import Models
import Text

// The one list of a recipe's keys. A key that is added here is read by its section's initialiser, and stands with this meaning on
// the documentation's page.
extension RecipeSection {
    /// The whole recipe.
    static let recipe = RecipeSection(
        "",
        [
            .path("extends", "another recipe, relative to this one, whose values this one overrides", example: "quickstart.json"),
            .text("name", "the run's name and folder", absence: .default("run"), example: "first"),
            .integer(
                "seed", 0...Int.max, "seed of initialisation, data order, dropout and samples", absence: .default(0), example: 1),
            .object("data", .data, "the texts and their cutting", absence: .required),
            .object(
                "tokenizer", .tokenizer, "the tokenizer; a given model has its own", absence: .requiredIf("without given models"),
                example: .object(["kind": .text("bpe"), "vocabSize": .int(4096)])),
            .object(
                "model", .model, "the model's shape; a given model has its own", absence: .requiredIf("without given models")),
            .object(
                "train", .train, "the optimizer's settings", absence: .requiredIf("without `uptrain` or given parents")),
            .object("init", .start, "the checkpoint to start from, and a conversion"),
            .object("uptrain", .uptrain, "makes the run an uptraining of the checkpoint that `init` names"),
            .object(
                "lab", .lab, "a whole experiment around the trained model, or around the one that `init` names"),
        ])

    /// Texts and how they are cut.
    static let data = RecipeSection(
        "data",
        [
            RecipeKey(
                "files", .list(.pathOrObject(textSource)),
                "texts, relative to the working directory: files, folders or patterns, as below", absence: .required,
                example: ["data/bible.txt"]),
            .text(
                "documentSeparator", "the text between documents of plain text; without it a file is a document",
                example: "<|endoftext|>"),
            .path(
                "chatTemplate",
                "a file with the Jinja template of chats; that of the model the run starts from unless given",
                example: "template.jinja"),
            .object("validation", .validation, "the held-out part", absence: .derived("as below")),
            .choice(
                "packing", TokenBatches.Packing.self,
                "whether attention crosses documents, is masked there, or is masked in windows that begin with whole documents",
                absence: .default("packed"), example: .masked),
            .choice(
                "order", TokenBatches.Order.self,
                "whether the windows of all texts are shuffled, or come as the texts have them, one text after the other",
                absence: .default("shuffled"), example: .sequential),
            .path("cache", "the folder of token ids kept between runs", absence: .default("runs/cache"), example: "/tmp/tokens"),
        ])

    private static let textSource = RecipeSection(
        "data.files[]",
        [
            .path(
                "path", "a file, a folder for all files in it, or a pattern with `*`, `?` and `[…]`", absence: .required,
                example: "web/*.jsonl.zst"),
            .number(
                "weight", 0.001...1e6,
                "the share of training sequences drawn from this text, relative to the other texts' weights", example: 0.7),
            .text(
                "field",
                "the key of the text or the chat in each line of JSON Lines; `text` unless given, `messages` where a line has none",
                example: "content"),
            .choice("format", TextFormat.self, "the format of files whose names don't tell it", example: .jsonl),
        ])

    private static let validation = RecipeSection(
        "data.validation",
        [
            .number("fraction", 0.0001...0.9, "the held-out share", absence: .default(0.05), example: 0.02),
            .choice(
                "by", Corpus.SplitBy.self, "the last part of the text, or whole documents drawn with the seed",
                absence: .default("position"), example: .document),
        ])

    private static let tokenizer = RecipeSection(
        "tokenizer",
        [
            .choice(
                "kind", TokenizerRecipe.Kind.self, "byte-level BPE trained on the training part, one token a byte, or a file",
                absence: .required, example: .bpe),
            .integer(
                "vocabSize", 257...(1 << 20), "tokens of the trained BPE", absence: .requiredIf("for `bpe`"), example: 4096),
            .path(
                "path", "a `tokenizer.json`, `tokenizer.bin` or SentencePiece model", absence: .requiredIf("for `file`"),
                example: "data/tokenizer.json"),
        ])

    private static let model = RecipeSection(
        "model",
        [
            .integer("dim", 1...(1 << 20), "hidden size", absence: .required, example: 256),
            .integer("layers", 1...4096, "blocks", absence: .required, example: 6),
            .perLayer("heads", "query heads", absence: .required, example: 8),
            .perLayer("kvHeads", "KV heads, a divisor of the query heads", absence: .derived("as `heads`"), example: 2),
            .perLayer("headDim", "width of a head, an even number", absence: .derived("`dim` / `heads`"), example: 32),
            .object("attention", .attention, "another attention: `kind` and its settings", example: latentExample),
            .integer("ffn", 1...(1 << 20), "hidden width of the SwiGLU feed-forward layer", absence: .required, example: 688),
            .number("ropeTheta", 1...1e12, "RoPE's base", absence: .default(10_000), example: 500_000),
            .number("normEps", 1e-12...1, "RMSNorm's epsilon", absence: .default(1e-5), example: 1e-6),
            .boolean("tied", "whether the output projection is the embedding", absence: .default(true), example: false),
            .integer("maxSeq", 1...(1 << 24), "the longest sequence", absence: .default(1024), example: 512),
            .choice(
                "initialization", Initialization.self,
                "fresh matrices: `normal` with deviation 0.02, those into the residual stream less, or `fan-in`, uniform in ±1/√inputs",
                absence: .default("normal"), example: .fanIn),
        ])

    private static let train = RecipeSection(
        "train",
        [
            .integer("steps", "optimizer steps", absence: .requiredIf(unlessUptrained), example: 1500),
            .integer("batch", batches, "sequences in a step", absence: .requiredIf(unlessUptrained), example: 16),
            .integer(
                "seq", sequences, "tokens in a sequence, at most `model.maxSeq`", absence: .requiredIf(unlessUptrained),
                example: 256),
            .integer("accumulation", 1...(1 << 16), "equal parts that a batch is computed in", absence: .default(1), example: 4),
            .number("learningRate", learningRates, "peak learning rate", absence: .requiredIf(unlessUptrained), example: 0.001),
            .number(
                "minLearningRateRatio", 0...1, "final learning rate as a share of the peak", absence: .default(0.1), example: 0.05
            ),
            .integer("warmupSteps", 0...(1 << 40), "warm-up steps", absence: .default(0), example: 100),
            .choice(
                "schedule", LearningRateSchedule.Shape.self, "the learning rate after the warm-up", absence: .default("cosine"),
                example: .wsd),
            .number(
                "decayFraction", 0...1, "the share of the steps that `wsd` decays over", absence: .default(0.2), example: 0.1),
            .number("weightDecay", 0...10, "AdamW's decoupled decay of matrices", absence: .default(0.1), example: 0.01),
            .number("beta1", 0...0.999999, "decay of AdamW's first moment", absence: .default(0.9), example: 0.8),
            .number("beta2", 0...0.999999, "decay of AdamW's second moment", absence: .default(0.95), example: 0.999),
            .number("epsilon", 1e-20...1, "AdamW's epsilon", absence: .default(1e-8), example: 1e-6),
            .number("clip", 0...1e9, "limit of the gradient's global norm; 0 for none", absence: .default(1), example: 0.5),
            .number(
                "dropout", 0...0.95, "dropout on the embedding and the residual branches", absence: .default(0), example: 0.1),
            .choice(
                "dtype", ComputePrecision.self, "the type that matrix products are multiplied in", absence: .default("fp32"),
                example: .bf16),
            .choice(
                "recompute", Recompute.self, "`block` recomputes a block's activations in the backward pass",
                absence: .default("none"), example: .block),
            .integer(
                "validateEvery", 0...(1 << 40), "steps between validations; 0 for one after the last step", absence: .default(0),
                example: 200),
            .integer("validationSequences", 1...(1 << 30), "sequences validated on at most", absence: .default(64), example: 32),
            .integer(
                "sampleEvery", 0...(1 << 40), "steps between sampled continuations; 0 for none", absence: .default(0),
                example: 500),
            .text("samplePrompt", "the prompt of a sample", absence: .default("The "), example: "In the "),
            .integer("sampleTokens", 1...(1 << 20), "tokens of a sample", absence: .default(40), example: 60),
            .integer(
                "checkpointEvery", 0...(1 << 40), "steps between checkpoints; 0 for one at the end", absence: .default(0),
                example: 200),
            .integer(
                "threads", 1...1024, "threads; every processor that the process may run on unless given", example: 2),
        ])

    private static let start = RecipeSection(
        "init",
        [
            .path(
                "checkpoint", "the model, with its tokenizer: a checkpoint, a Hugging Face folder, a GGUF or a llama2.c file",
                absence: .required,
                example: "runs/quickstart/parent/model.h5"),
            .object("convert", .convert, "a conversion of the checkpoint, before the training"),
            .path(
                "parent",
                "the parent of a converted checkpoint; an error without `distill` and `stopAt`, which look at it",
                example: "runs/quickstart/parent/model.h5"),
        ])

    private static let convert = RecipeSection(
        conversion.path,
        conversion.own + [
            .integer("seed", 0...Int.max, "seed of methods that draw random numbers", absence: .default(0), example: 7)
        ])

    private static let child = RecipeSection(
        "lab.children[]",
        [.text("name", "the child's name and folder", absence: .derived("from the conversion"), example: "mqa")],
        with: conversion)

    private static let conversion = RecipeSection(
        "init.convert",
        HeadMergeMethod.settings.map { setting in
            let key = RecipeKey(setting)
            guard setting.isRequired else { return key }
            return RecipeKey(
                name: key.name, type: key.type, absence: .requiredIf("without `attention`"), meaning: key.meaning,
                example: key.example)
        } + [
            RecipeKey(
                "method", .choice(ConversionMethods.merges.map(\.name)), "the merge of KV heads",
                absence: .default(ConversionRecipe.defaultMethod), example: "mean"),
            .object(
                "attention", .attentionConversion,
                "another attention in place of fewer KV heads: `kind` and the settings of its conversion", example: latentExample),
            calibrationTokens,
        ])

    private static let calibrationTokens = RecipeKey.integer(
        "calibrationTokens", Calibration.leastTokens...(1 << 24), "tokens of the training text for calibration",
        absence: .default(Calibration.defaultTokens), example: 8192)

    private static let attention = RecipeSection(
        "model.attention", [kind], kinds: AttentionDesigns.all.map { ($0.name, $0.settings.map(RecipeKey.init)) })

    private static let attentionConversion = RecipeSection(
        "init.convert.attention", [kind],
        kinds: ConversionMethods.all.filter { !($0 is HeadMergeMethod) }.map { ($0.name, $0.settings.map(RecipeKey.init)) })

    private static let kind = RecipeKey(
        "kind", .choice(AttentionDesigns.names),
        AttentionDesigns.all.map { "`\($0.name)`: \($0.summary)" }.joined(separator: "; "), absence: .required,
        example: LatentDesign.name)

    private static let latentExample = JSONValue.object([
        "kind": .text(LatentDesign.name), "rank": .int(32), "ropeHeadDim": .int(16),
    ])

    private static let uptrain = RecipeSection(
        "uptrain",
        lengths + [
            .integer(
                "parentTokens", tokenCounts, "tokens that `alpha` is a share of; those of the parent's training unless given",
                example: 2_000_000_000_000)
        ] + parentSettings + [
            .integer(
                "seed", 0...Int.max, "seed of data order and dropout; the recipe's, in the parent's order, unless given",
                example: 1)
        ])

    /// The length of an uptraining, in one of three units.
    private static let lengths: [RecipeKey] = [
        .number(
            "alpha", 1e-6...100, "length as a share of the parent's training", absence: .default(UptrainLength.standardShare),
            example: 0.1),
        .integer("steps", "length in optimizer steps, in place of `alpha`", example: 100),
        .integer(
            "tokens", tokenCounts, "length in tokens, in place of `alpha`; the nearest number of steps", example: 300_000),
    ]

    /// Settings that an uptraining has from its parent unless they are given.
    private static let parentSettings: [RecipeKey] = [
        .number("learningRate", learningRates, "peak learning rate; the parent's unless given", example: 5e-4),
        .integer("batch", batches, "sequences in a step; the parent's unless given", example: 8),
        .integer("seq", sequences, "tokens in a sequence; the parent's unless given", example: 512),
        .object("distill", .distill, "distillation: training on the parent's predictions beside the text"),
        .object("stopAt", .stopAt, "ends the uptraining early"),
        .object(
            "through", .through, "training through a compressed cache, with straight-through gradients",
            example: .object(["kvDtype": .text("kivi4")])),
        .number(
            "keyValueShare", 0...1, "share of the steps in which only key, value and output projections learn", example: 0.3),
    ]

    private static let distill = RecipeSection(
        "uptrain.distill",
        [
            .number(
                "weight", 0...1, "share of the loss that is the divergence from the parent's predictions", absence: .default(0.5),
                example: 0.9),
            .number("temperature", 0.01...100, "temperature of both distributions", absence: .default(1), example: 2),
            .number("hidden", 0...1e6, "weight of the distances between the layers' outputs", absence: .default(0), example: 0.1),
        ])

    private static let stopAt = RecipeSection(
        "uptrain.stopAt",
        [
            .number(
                "withinParentPercent", 0...1000, "held-out loss above the parent's, in percent of it, that ends the uptraining",
                absence: .required, example: 2),
            .integer("every", "steps between these validations; a twentieth of the steps unless given", example: 20),
        ])

    private static let through = RecipeSection(
        "uptrain.through",
        [
            .integer(
                "prefill", 1...(1 << 24), "tokens of a document's prompt with `evict`; half of a sequence unless given",
                example: 128)
        ], with: cache)

    private static let lab = RecipeSection(
        "lab",
        [.objects("children", .child, "the children", absence: .requiredIf("without `sweep`"))] + lengths + [
            .integer(
                "parentTokens", tokenCounts, "tokens that `alpha` is a share of, for a given parent", example: 2_000_000_000_000)
        ] + parentSettings + [
            .boolean("control", "whether the parent is continued for the same tokens", absence: .default(true), example: false),
            .object("evaluation", .evaluation, "the scoring of all models", absence: .derived("as below")),
            .objects(
                "compression", .cache, "caches that every model is measured through, their keys those of `--cache`",
                example: .object(["evict": .text("snapkv"), "budget": .int(64), "kvDtype": .text("int8")])),
            .object("sweep", .sweep, "axes in place of `children` and their length"),
        ])

    private static let taskExample = JSONValue.object([
        "passkey": .object(["lengths": .array([.int(512), .int(1024)]), "trials": .int(50)])
    ])

    private static let evaluation = RecipeSection(
        "lab.evaluation",
        [
            .path("text", "a text to score; the validation part unless given", example: "data/wikitext.txt"),
            .integer("window", 1...(1 << 24), "text tokens in a window", absence: .default(256), example: 512),
            .integer("contextTokens", 1...(1 << 30), "tokens of the cache sizes shown", absence: .default(4096), example: 32_768),
            .integer("batch", 1...(1 << 20), "sequences of the cache sizes shown", absence: .default(1), example: 8),
            RecipeKey(
                "kvDtype", .choice(KVEncoding.all.map(\.name)), "encoding of the cache sizes shown",
                absence: .default(KVEncoding.standard.name), example: "int8"),
            .integer(
                "prefill", 1...(1 << 24), "tokens of a window's prompt with `compression`; half of `window` unless given",
                example: 192),
            .number(
                "withinPercent", 0...1000,
                "bits per byte above the parent's, in percent of them, that a recommended cache may cost",
                absence: .default(LabRecipe.Evaluation.standardPercent), example: 2),
            .objects(
                "tasks", .tasks, "evaluations of `kvlab eval` for every model, each an object with its name as the only key",
                example: taskExample),
        ])

    private static let sweep = RecipeSection(
        "lab.sweep",
        [
            .list(
                "parents", of: .path, "models to convert, as `init.checkpoint`; the lab's own parent unless given",
                example: ["a.gguf", "b.h5"]),
            .list(
                "kvHeads", of: .integer(1...65536), "numbers of KV heads", absence: .requiredIf("without `architectures`"),
                example: [2, 1]),
            .objects(
                "architectures", .attentionConversion, "other attentions: `kind` and the settings of its conversion",
                example: latentExample),
            .list(
                "methods", of: .choice(ConversionMethods.merges.map(\.name)), "merges of KV heads",
                absence: .default([ConversionRecipe.defaultMethod]),
                example: ["mean", "learned"]),
        ] + HeadMergeMethod.settings.filter { $0.key == "grouping" }.map(RecipeKey.init) + [
            calibrationTokens,
            .list(
                "alphas", of: .number(1e-6...100), "lengths of the uptrainings as shares of the parent's training",
                absence: .default([UptrainLength.standardShare]), example: [0.05, 0.1]),
            .list("steps", of: .integer(1...(1 << 40)), "lengths in steps, in place of `alphas`", example: [50, 100]),
            .list("tokens", of: .integer(tokenCounts), "lengths in tokens, in place of `alphas`", example: [300_000]),
            .list(
                "seeds", of: .integer(seeds), "seeds of trained parents: weights, data order, held-out documents",
                absence: .default([0]), example: [0, 1, 2]),
            .list(
                "uptrainSeeds", of: .integer(seeds),
                "seeds of each parent's uptrainings; one, in the parent's order, unless given", example: [1, 2]),
            .boolean(
                "scratch",
                "whether each child's architecture is also trained from scratch, on the tokens of the parent and the uptraining together",
                absence: .default(false), example: true),
            .object("timing", .timing, "the measurement of decoding time per token"),
            .path(
                "store",
                "the folder of the steps, which sweeps may share; `steps/` in the sweep's own unless given",
                example: "runs/steps"),
        ])

    private static let timing = RecipeSection(
        "lab.sweep.timing",
        [
            .integer("batch", 1...256, "sequences decoded at once", absence: .default(8), example: 4),
            .integer("context", 1...(1 << 24), "tokens in the cache of each at the start", absence: .default(256), example: 1024),
            .integer("tokens", 2...(1 << 20), "tokens decoded for each", absence: .default(32), example: 64),
            .integer("rounds", 1...1000, "rounds over all architectures", absence: .default(5), example: 9),
        ])

    private static let unlessUptrained = "without `uptrain`"
    private static let batches = 1...(1 << 20)
    private static let sequences = 1...(1 << 24)
    private static let learningRates = 1e-12...100
    /// The largest number of tokens that a recipe takes is the largest that a Float64 counts exactly.
    private static let tokenCounts = 1...(1 << 53)
    private static let seeds = 0...9_000_000_000_000_000
}
