import Checkpoints
import Evaluation
import Files
import Foundation
import Inference
import Kernels
import Models
import Recipes
import Text

/// The recipes of a sweep's steps, each with the hash of everything that decides its model.
struct SweepRecipes: Sendable {
    /// A step with its inputs found.
    struct Resolved: Sendable {
        /// For trainings the run's recipe; for a conversion or a given parent the lab's recipe with `init` in it.
        var recipe: Recipe
        /// The step's key.
        var key: String
        /// Content hashes of its inputs.
        var inputs: [String: String]

        /// The same under the keys of a run's inputs.
        var digests: InputDigests { SweepRecipes.digests(inputs) }
    }

    /// A step's inputs under the keys of a run's inputs.
    private static func digests(_ inputs: [String: String]) -> InputDigests {
        let keys = ["source": "init.checkpoint", "parent": "init.parent", "tokenizer": "tokenizer.path"]
        return InputDigests(
            inputs.sorted { $0.key < $1.key }.map { name, hash in
                let key = name.hasPrefix("data[") ? "data.files" + name.dropFirst("data".count) : keys[name] ?? name
                return InputDigests.Input(key: key, model: nil, contentHash: hash)
            })
    }

    /// The inputs whose content has changed since `record` was written.
    func changes(of resolved: Resolved, since record: StepStore.Record) -> [InputDigests.Change] {
        let start = resolved.recipe.`init`
        return resolved.digests.changes(since: Self.digests(record.inputs)).map { change in
            var change = change
            switch change.key {
            case "init.checkpoint": change.path = start?.checkpoint
            case "init.parent": change.path = start?.parent
            default: change.path = inputs.inputs.first { $0.key == change.key }?.path
            }
            return change
        }
    }

    /// A model that a step made.
    struct Made: Sendable {
        var folder: String
        var record: StepStore.Record
        var model: String { Run.modelPath(folder) }
    }

    let recipe: Recipe
    let lab: LabRecipe
    let plan: SweepPlan
    /// The parents that the recipe names; none where the lab trains its own.
    let parents: [SweepParent]
    /// The texts, which all steps share.
    let corpus: Corpus
    /// The text to score where it is one of its own, with its digest.
    let evaluated: (text: EvaluationText, input: InputDigests.Input)?
    /// The caches that models are measured through; nil for none.
    let grid: CacheGrid?
    /// The evaluations of every model beside the text.
    let tasks: [LabTask]
    /// The chat template's file, where the recipe names one.
    private let template: [InputDigests.Input]
    /// The tokenizer's file and the configuration beside it.
    private let tokenizer: [InputDigests.Input]

    /// Reads and hashes texts and given parents, once for all steps.
    init(recipe: Recipe, lab: LabRecipe) throws {
        self.recipe = recipe
        self.lab = lab
        parents = try SweepParent.all(recipe, lab)
        plan = SweepPlan(recipe, lab, given: parents)
        corpus = try Corpus(recipe)
        evaluated = try lab.evaluation.read(separator: recipe.data.documentSeparator)
        tokenizer = try recipe.tokenizer?.inputs() ?? []
        template = try recipe.data.templateInput()
        grid = lab.measuredCaches.map { caches in
            CacheGrid(
                caches, encoding: lab.evaluation.encoding, window: lab.evaluation.window, prompt: lab.evaluation.prefill)
        }
        tasks = try (lab.evaluation.tasks ?? []).enumerated().map { index, spec in
            try LabTask(spec) { Self.place(of: spec, index, $0) }
        }
        try checkCaches()
        try checkTasks()
    }

    /// The recipe's key of a setting of its tasks, or of the evaluation as a whole.
    private static func place(of spec: EvaluationSpec, _ index: Int, _ key: String?) -> String {
        "lab.evaluation.tasks[\(index)].\(spec.name)" + (key.map { ".\($0)" } ?? "")
    }

    /// The caches of tasks: those of the grid, or the one whose size is shown.
    var taskCaches: [CacheSpec] { grid?.caches ?? [CacheSpec(keepingAllIn: lab.evaluation.encoding)] }

    /// Refuses, before anything is trained, prompts that have no room in a model of the plan, as far as its tokenizer is known.
    private func checkTasks() throws {
        guard !tasks.isEmpty else { return }
        let given = try parents.map { try LoadedModel(name: $0.name, path: $0.path) }
        for (index, task) in tasks.enumerated() {
            let place = { Self.place(of: task.spec, index, $0) }
            try task.check(taskCaches, place: place)
            if given.isEmpty, let positions = recipe.model?.maxSeq {
                try task.check(positions: positions, name: "the parent", place: place)
            }
            for model in given {
                do { try task.check(model) } catch {
                    throw ExperimentError.recipe(key: place(nil), reason: "\(error)")
                }
            }
        }
    }

    /// Refuses, before anything is trained, a cache that some model of the plan cannot have or be trained through.
    private func checkCaches() throws {
        let shapes = try plan.steps.compactMap { step in try shape(of: step).map { (step: step, config: $0) } }
        let encoding = lab.evaluation.encoding
        for (_, config) in shapes { try config.kvGeometry(encoding).check(encoding) }
        for (step, config) in shapes where step.kind != .converted {
            try grid?.check(config, name: step.name, promptPlace: "lab.evaluation.prefill")
        }
        for (step, config) in shapes { _ = try training(through: step, config) }
    }

    /// The shape of a step's model, as far as it is known before its tokenizer is; nil for one that is refused where it is made.
    ///
    /// - Parameter vocabularySize: that of a model that the lab trains; caches do not depend on it.
    func shape(of step: SweepStep, vocabularySize: Int = 256) throws -> ModelConfig? {
        guard let given = step.given.map({ parents[$0] }) else {
            return recipe.model.flatMap { model in
                try? (step.architecture?.applied(to: model) ?? model).config(vocabularySize: vocabularySize)
            }
        }
        return try step.child?.conversion.resolved().childConfig(given.config) ?? given.config
    }

    /// All files that are read for the sweep.
    var inputs: InputDigests {
        InputDigests(corpus.inputs + template + tokenizer + parents.map(\.input) + (evaluated.map { [$0.input] } ?? []))
    }

    /// The digest of the scored text.
    var scoredText: String { evaluated?.input.sha256 ?? corpus.contents.map(\.sha256.hex).joined(separator: " ") }

    /// The recipe and key of a step; nil where one of its inputs is not made yet.
    func resolve(_ step: SweepStep, made: [Int: Made]) -> Resolved? {
        var recipe = self.recipe
        recipe.lab = nil
        recipe.name = step.name
        recipe.seed = step.seed
        // A kill costs a tenth of a run at most, whatever the recipe says about its parent.
        func checkpointEvery(_ steps: Int) -> Int {
            self.recipe.train.checkpointEvery > 0 ? self.recipe.train.checkpointEvery : max(20, steps / 10)
        }
        let steps = step.trainingSteps
        var inputs = Dictionary(uniqueKeysWithValues: corpus.contents.enumerated().map { ("data[\($0)]", $1.sha256.hex) })
        for input in template { inputs[input.key] = input.sha256 }
        switch step.kind {
        case .parent where step.given != nil:
            guard let parent = step.given.map({ parents[$0] }) else { return nil }
            recipe.`init` = InitRecipe(checkpoint: parent.path)
            inputs = ["source": parent.hash]
        case .parent:
            recipe.train.checkpointEvery = checkpointEvery(steps)
        case .scratch:
            recipe.train.checkpointEvery = checkpointEvery(steps)
            recipe.train.steps = steps
            let warmup = Double(recipe.train.warmupSteps) * Double(steps) / Double(self.recipe.train.steps ?? 1)
            recipe.train.warmupSteps = recipe.train.warmupSteps == 0 ? 0 : min(steps, max(1, Int(warmup.rounded())))
            recipe.train.validateEvery = max(1, steps / 10)
            recipe.train.sampleEvery = 0
            if let model = recipe.model, let architecture = step.architecture { recipe.model = architecture.applied(to: model) }
        case .converted:
            guard let source = step.source.flatMap({ made[$0] }), let child = step.child else { return nil }
            let convert = InitRecipe.Convert(child.conversion, seed: step.uptrainSeed ?? step.seed)
            recipe.`init` = InitRecipe(checkpoint: source.model, convert: convert)
            inputs["source"] = source.record.output
        case .child, .continued:
            guard let source = step.source.flatMap({ made[$0] }), let parent = step.parent.flatMap({ made[$0] }) else {
                return nil
            }
            let isChild = step.kind == .child
            let teaches = isChild && lab.uptrain.usesParent
            var settings = lab.uptrain
            if !isChild { (settings.distill, settings.stopAt, settings.keyValueShare) = (nil, nil, nil) }
            if step.through == nil { settings.through = nil }
            recipe = recipe.uptraining(
                name: step.name, from: InitRecipe(checkpoint: source.model, parent: teaches ? parent.model : nil),
                UptrainRecipe(step.length ?? .standard, settings, seed: step.uptrainSeed))
            recipe.train.checkpointEvery = checkpointEvery(steps)
            recipe.train.validateEvery = max(1, steps / 10)
            inputs["source"] = source.record.output
            if teaches { inputs["parent"] = parent.record.output }
        }
        if recipe.tokenizer?.path != nil {
            for input in tokenizer { inputs[input.key == "tokenizer.path" ? "tokenizer" : input.key] = input.sha256 }
        }
        let text = step.kind == .parent && step.given != nil ? "as it is" : canonical(recipe, step.kind)
        return Resolved(recipe: recipe, key: StepStore.key(step.kind, recipe: text, inputs: inputs), inputs: inputs)
    }

    /// The recipe without the keys that don't decide the outcome: names, places, and settings of saving and showing.
    private func canonical(_ recipe: Recipe, _ kind: SweepStep.Kind) -> String {
        var recipe = recipe
        recipe.name = "step"
        for index in recipe.data.files.indices { recipe.data.files[index].path = "data[\(index)]" }
        recipe.data.cache = "cache"
        if recipe.data.chatTemplate != nil { recipe.data.chatTemplate = "template" }
        if recipe.tokenizer?.path != nil { recipe.tokenizer?.path = "tokenizer" }
        recipe.`init`?.checkpoint = "source"
        if recipe.`init`?.parent != nil { recipe.`init`?.parent = "parent" }
        (recipe.train.checkpointEvery, recipe.train.sampleEvery, recipe.train.sampleTokens) = (0, 0, 1)
        recipe.train.samplePrompt = ""
        guard kind == .converted, let start = recipe.`init` else { return recipe.resolvedJSON }
        // Training settings don't matter to a conversion; the split and the seed decide its calibration text.
        let conversion = Conversion(data: recipe.data, convert: start.convert, seed: recipe.seed)
        // Encoding plain values cannot fail.
        return (try? CanonicalJSON.text(of: conversion)) ?? ""
    }

    private struct Conversion: Encodable {
        var data: DataRecipe
        var convert: InitRecipe.Convert?
        var seed: Int
    }

    /// The key of a model's scores: its hash, the parent's, the text's and the window policy.
    func scoreKey(_ step: SweepStep, model: String, parent: String, text: String) -> String {
        struct Identity: Encodable {
            var evaluation: LabRecipe.Evaluation
            var data: DataRecipe
            var seed: Int
        }
        var evaluation = lab.evaluation
        evaluation.text = evaluation.text == nil ? nil : "text"
        (evaluation.prefill, evaluation.withinPercent, evaluation.tasks) = (nil, nil, nil)
        let identity =
            (try? CanonicalJSON.text(of: Identity(evaluation: evaluation, data: dataWithoutPlaces, seed: step.seed))) ?? ""
        return SHA256Digest(of: "kvlab score \(StepStore.format)\n\(model)\n\(parent)\n\(text)\n\(identity)").hex
    }

    /// The reading and mixing of texts, which decide the held-out part; a text itself is named by its hash, wherever it lies.
    private var dataWithoutPlaces: DataRecipe {
        var data = recipe.data
        let isPlain = data.files.allSatisfy { $0 == TextSource(path: $0.path) }
        if isPlain { data.files = [] }
        for index in data.files.indices { data.files[index].path = "" }
        data.cache = ""
        if data.chatTemplate != nil { data.chatTemplate = template.first?.sha256 }
        return data
    }

    /// The key of a model's figures through a cache: its hash, the parent's, the text's, the window policy and the cache.
    func compressionKey(
        _ step: SweepStep, model: String, parent: String, text: String, grid: CacheGrid, cache: CacheSpec
    ) -> String {
        struct Identity: Encodable {
            var window: Int
            var prompt: Int
            var encoding: String
            var cache: String
            var data: DataRecipe
            var seed: Int
        }
        let identity = Identity(
            window: grid.window, prompt: grid.prompt, encoding: grid.encoding.name, cache: "\(cache)", data: dataWithoutPlaces,
            seed: step.seed)
        // Encoding plain values cannot fail.
        let words = (try? CanonicalJSON.text(of: identity)) ?? ""
        return SHA256Digest(of: "kvlab compression \(StepStore.format)\n\(model)\n\(parent)\n\(text)\n\(words)").hex
    }
}
