import Checkpoints
import Conversion
import Evaluation
import Files
import Foundation
import Inference
import Kernels
import Models
import Recipes
import Text
import Training

/// A lab over several axes: for each seed a parent, its conversions, their uptrainings and the controls for each token budget.
///
/// Every model has a folder whose name ends in a hash of all that decides it (``StepStore``). What is there is not made again: a sweep that
/// was interrupted, however, goes on where it stopped, within a run from the run's own checkpoint; one that has been made larger makes what
/// is new; and one parent is trained once. A conversion is a step of its own, scored before its uptrainings start from it.
public struct Sweep {
    /// What a sweep leaves behind.
    public struct Result: Sendable {
        /// Every model's figures.
        public var results: SweepResults
        /// The report's path.
        public var reportPath: String
        /// Steps made by this call; the others were there.
        public var stepsMade: Int
        /// Wall-clock seconds of this call.
        public var seconds: Double
    }

    private let recipes: SweepRecipes
    private let directory: String
    private let store: StepStore
    private let reporter: ProgressReporter
    private var recipe: Recipe { recipes.recipe }
    private var lab: LabRecipe { recipes.lab }
    private var sweep: SweepRecipe { recipes.sweep }
    private var steps: [SweepStep] { recipes.plan.steps }

    /// A sweep for a recipe with a `lab.sweep` section; reads the texts, whose content decides which steps are done already.
    ///
    /// Throws ``ExperimentError/recipe(key:reason:)`` for what can't be, before any work.
    public init(recipe: Recipe, lab: LabRecipe, sweep: SweepRecipe, directory: String, reporter: ProgressReporter) throws {
        for (index, method) in sweep.methods.enumerated() where ConversionMethods.named(method) == nil {
            throw ExperimentError.recipe(
                key: "lab.sweep.methods[\(index)]", reason: ConversionError.unknownMethod(method).description)
        }
        let designs = sweep.architectures.compactMap(\.attention)
        if !designs.isEmpty, let config = try recipe.model?.config(vocabularySize: recipe.tokenizer?.vocabSize ?? 256) {
            for (index, attention) in designs.enumerated() {
                do {
                    _ = try ArchitectureConversion.childConfig(config, attention.design(headDim: config.headDim[0]))
                } catch {
                    throw ExperimentError.recipe(key: "lab.sweep.architectures[\(index)]", reason: "\(error)")
                }
            }
        }
        if let path = lab.evaluation.text, !FileManager.default.isReadableFile(atPath: path) {
            throw ExperimentError.recipe(key: "lab.evaluation.text", reason: "\(path): no such file, or it can't be read")
        }
        recipes = try SweepRecipes(recipe: recipe, lab: lab, sweep: sweep)
        self.directory = directory.count > 1 && directory.hasSuffix("/") ? String(directory.dropLast()) : directory
        store = StepStore(directory: sweep.store ?? self.directory + "/steps")
        self.reporter = reporter
        let training = try recipes.corpus.split(recipe).train.byteCount
        if training < Calibration.leastTokens,
            !designs.isEmpty || sweep.methods.contains(where: { ConversionMethods.named($0)?.usesActivations == true })
        {
            throw ExperimentError.recipe(
                key: "data.files",
                reason: "the training part's \(training) bytes are too short to calibrate a conversion on; it takes "
                    + "\(Calibration.leastTokens) tokens")
        }
    }

    /// Makes what is not there yet; nil where `shouldStop` ended a run early.
    public func execute(shouldStop: () -> Bool) throws -> Result? {
        let start = ContinuousClock.now
        for folder in [directory, store.directory] {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        }
        let lock = try FileLock(path: directory + "/lock", purpose: "kvlab lab")
        defer { withExtendedLifetime(lock) {} }
        defer { reporter.setPrefix("") }
        var made = found()
        let missing = steps.indices.filter { made[$0] == nil }
        // A kill between a step's record and this leaves its training state behind.
        dropTrainingStates(steps.indices, made)
        if recipes.plan.sharesTrajectories, sweep.alphas.count > 1 {
            reporter.line("the schedule is constant: uptrainings of one child share their beginnings, which is exact")
        }
        reporter.line("\(steps.count) steps, \(missing.count) to make")
        var progress = SweepProgress(
            reporter, total: steps.count, tokensToDo: missing.reduce(0) { $0 + ownTokens($1) })
        var scores: [Int: SweepScore] = [:]
        var context: ScoringContext?
        for (index, step) in steps.enumerated() {
            if made[index] == nil {
                guard let resolved = recipes.resolve(step, made: made) else { continue }
                let folder = store.folder(step.name, key: resolved.key)
                let record: StepStore.Record?
                if step.kind == .converted {
                    if shouldStop() { return nil }
                    record = try convert(step, resolved, folder)
                } else {
                    let beginning = step.beginning.flatMap { made[$0]?.folder }
                    record = try train(step, resolved, folder, beginning: beginning, shouldStop: shouldStop) {
                        progress.step($0.tokens, seconds: $0.seconds)
                    }
                }
                guard let record else { return nil }
                made[index] = SweepRecipes.Made(folder: folder, record: record)
                dropTrainingStates([index] + (step.beginning.map { [$0] } ?? []), made)
            }
            guard let output = made[index], let parent = made[step.parent ?? index] else { continue }
            let scored = try score(step, output, parent, &context)
            scores[index] = scored
            if step.kind == .converted, let reference = step.parent.flatMap({ scores[$0] }) {
                let ratio = scored.result.bitsPerByte / reference.result.bitsPerByte
                try RecoveryExample.write(startPercent: 100 * (ratio - 1), to: output.folder)
            }
            progress.finish(tokens: missing.contains(index) ? ownTokens(index) : 0)
        }
        context = nil
        guard let timing = try self.timing(made, shouldStop: shouldStop) else { return nil }
        reporter.setPrefix("")
        let results = try write(made, scores, timing.first)
        return Result(
            results: results, reportPath: directory + "/report.html", stepsMade: missing.count,
            seconds: (ContinuousClock.now - start) / .seconds(1))
    }

    /// What there is to do, for people: each step with its tokens, and whether it is there.
    public var planText: String {
        let made = found()
        let lines = steps.indices.map { index in
            let tokens = ownTokens(index) > 0 ? "\(groupedDigits(ownTokens(index))) tokens" : "conversion"
            return "\(made[index] == nil ? "to make" : "there  ")  \(steps[index].name)  \(tokens)"
        }
        let missing = steps.indices.filter { made[$0] == nil }
        let tokens = missing.reduce(0) { $0 + ownTokens($1) }
        return (lines + ["\(steps.count) steps, \(missing.count) to make: \(groupedDigits(tokens)) tokens to train on"])
            .joined(separator: "\n")
    }

    /// Tokens that a step is trained on itself, those of its beginning left out.
    private func ownTokens(_ index: Int) -> Int {
        steps[index].tokens - (steps[index].beginning.map { steps[$0].tokens } ?? 0)
    }

    /// The steps that are done before.
    private func found() -> [Int: SweepRecipes.Made] {
        var made: [Int: SweepRecipes.Made] = [:]
        for (index, step) in steps.enumerated() {
            guard let resolved = recipes.resolve(step, made: made) else { continue }
            let folder = store.folder(step.name, key: resolved.key)
            do {
                guard let record = try store.record(folder, key: resolved.key) else { continue }
                made[index] = SweepRecipes.Made(folder: folder, record: record)
            } catch {
                // One bad file is a step to make again.
                reporter.line("\(step.name): to make again, as its model can't be used: \(error)")
            }
        }
        return made
    }

    // MARK: Steps

    /// Trains what the step's recipe says, from the run's own checkpoint where it was interrupted; nil where it is again.
    private func train(
        _ step: SweepStep, _ resolved: SweepRecipes.Resolved, _ folder: String, beginning: String?, shouldStop: () -> Bool,
        onStep: (Trainer.StepReport) -> Void
    ) throws -> StepStore.Record? {
        let prepared = try PreparedRun(resolved.recipe, corpus: recipes.corpus, reporter: reporter)
        try check(prepared.inputs, resolved)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let resumes = try makeResumable(folder, as: prepared, beginning: beginning)
        let outcome = try Run(prepared, directory: folder, reporter: reporter)
            .execute(resume: resumes, shouldStop: shouldStop, onStep: onStep)
        guard outcome.finished else { return nil }
        let stepTokens = Double(prepared.plan.batch * prepared.sequenceLength)
        let seconds = MetricsFile.read(path: folder + "/metrics.jsonl").compactMap(\.tokensPerSecond).reduce(0) {
            $0 + ($1 > 0 ? stepTokens / $1 : 0)
        }
        let record = try finish(step, resolved, folder, seconds: seconds, tokens: outcome.tokensSeen)
        return record
    }

    /// Removes the training states of these done steps, but for those that a longer uptraining has yet to go on from.
    private func dropTrainingStates(_ indices: some Sequence<Int>, _ made: [Int: SweepRecipes.Made]) {
        let needed = Set(steps.indices.filter { made[$0] == nil }.compactMap { steps[$0].beginning })
        for index in indices where !needed.contains(index) {
            guard let folder = made[index]?.folder else { continue }
            try? FileManager.default.removeItem(atPath: folder + "/checkpoint.h5")
        }
    }

    /// Throws where a file was changed while the sweep runs: the step's key says what it was.
    private func check(_ inputs: InputDigests, _ resolved: SweepRecipes.Resolved) throws {
        if let change = inputs.changes(since: resolved.digests).first {
            throw ExperimentError.changedMeanwhile(
                change.path ?? change.key, recorded: change.recorded, found: change.found)
        }
        try recipes.corpus.checkUnchanged()
    }

    /// Whether the folder holds a checkpoint to go on from, after it has been made one of this recipe.
    ///
    /// The key in the folder's name says that all that decides the run is the same; its recipe may still name other places, as when the
    /// sweep's folder was moved, and a checkpoint of a shorter uptraining names another share.
    private func makeResumable(_ folder: String, as prepared: PreparedRun, beginning: String?) throws -> Bool {
        let (own, model) = (folder + "/checkpoint.h5", Run.modelPath(folder))
        let files = FileManager.default
        if !files.fileExists(atPath: own), let beginning, files.fileExists(atPath: beginning + "/checkpoint.h5") {
            var checkpoint: Checkpoint
            do {
                checkpoint = try Checkpoint.load(beginning + "/checkpoint.h5")
            } catch {
                reporter.line("the run begins anew, not where another ended: \(error)")
                if files.fileExists(atPath: model) { try files.removeItem(atPath: model) }
                return false
            }
            checkpoint.lineage.recipe = prepared.lineage.recipe
            if files.fileExists(atPath: beginning + "/metrics.jsonl") {
                try TextFile.write(try TextFile.read(beginning + "/metrics.jsonl"), to: folder + "/metrics.jsonl")
            }
            try checkpoint.save(to: own)
            return true
        }
        guard files.fileExists(atPath: own) else {
            // Without a record or a checkpoint beside it nothing vouches for a model.
            if files.fileExists(atPath: model) { try files.removeItem(atPath: model) }
            return false
        }
        guard var checkpoint = try? Checkpoint.load(own) else {
            reporter.line("\(own): damaged; the run begins anew")
            try files.removeItem(atPath: own)
            if files.fileExists(atPath: model) { try files.removeItem(atPath: model) }
            return false
        }
        if !prepared.isRecipe(of: checkpoint.lineage) {
            checkpoint.lineage.recipe = prepared.lineage.recipe
            try checkpoint.save(to: own)
        }
        return true
    }

    /// Converts the parent and says what that does to it, before any training.
    private func convert(_ step: SweepStep, _ resolved: SweepRecipes.Resolved, _ folder: String) throws -> StepStore.Record? {
        guard let start = resolved.recipe.`init`, let section = start.convert else { return nil }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let lock = try FileLock(path: folder + "/lock", purpose: "kvlab lab")
        defer { withExtendedLifetime(lock) {} }
        let clock = ContinuousClock()
        let begin = clock.now
        let parent = try LoadedModel(path: start.checkpoint)
        let source = InputDigests.Input(
            key: "init.checkpoint", model: start.checkpoint, contentHash: try parent.checkpoint.identity())
        try check(InputDigests([source]), resolved)
        let training = try recipes.corpus.split(resolved.recipe).train
        let (converted, converter) = try section.converted(parent, training: training) {
            reporter.progress("\(step.name)  \($0)")
        }
        try recipes.corpus.checkUnchanged()
        reporter.clear()
        var child = converted
        child.lineage.name = step.name
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try TextFile.write(String(decoding: try encoder.encode(start), as: UTF8.self) + "\n", to: folder + "/conversion.json")
        // A diagnosis is of heads that merge.
        if let converter, let calibration = try converter.calibration ?? calibration(section, parent, training) {
            reporter.progress("\(step.name)  diagnosing")
            let diagnosis = try Diagnosis(
                parent: (parent.checkpoint.config, parent.checkpoint.parameters), child: (child.config, child.parameters),
                method: section.method, calibration: calibration)
            reporter.clear()
            // A model whose losses are no numbers has no diagnosis to keep.
            if let data = try? encoder.encode(diagnosis) {
                try TextFile.write(String(decoding: data, as: UTF8.self) + "\n", to: folder + "/diagnosis.json")
            }
        }
        try child.save(to: Run.modelPath(folder))
        return try finish(step, resolved, folder, seconds: (clock.now - begin) / .seconds(1), tokens: 0)
    }

    /// Text to diagnose a conversion on that took none; nil where there is too little.
    private func calibration(_ section: InitRecipe.Convert, _ parent: LoadedModel, _ training: Corpus) throws -> Calibration? {
        do {
            return try section.calibration(parent, training: training, tokens: 2 * Calibration.leastTokens)
        } catch ConversionError.calibrationTooShort {
            return nil
        }
    }

    private func finish(
        _ step: SweepStep, _ resolved: SweepRecipes.Resolved, _ folder: String, seconds: Double, tokens: Int
    ) throws -> StepStore.Record {
        let model = try Checkpoint.load(Run.modelPath(folder), verify: .structure, trainingState: false)
        let record = StepStore.Record(
            format: StepStore.format, kind: step.kind, key: resolved.key, inputs: resolved.inputs,
            output: model.lineage.contentHash ?? "", seconds: seconds, tokens: tokens, finished: MachineDescription.date,
            machine: MachineDescription.text)
        try store.write(record, to: folder)
        return record
    }

    // MARK: Scores

    /// A seed's parent and the text it is scored on, kept while its children are.
    private struct ScoringContext {
        var hash: String
        var model: LoadedModel
        var text: EvaluationText
        var comparison: Comparison
    }

    private func score(
        _ step: SweepStep, _ output: SweepRecipes.Made, _ parent: SweepRecipes.Made, _ context: inout ScoringContext?
    ) throws -> SweepScore {
        let key = recipes.scoreKey(
            step, model: output.record.output, parent: parent.record.output, text: recipes.scoredText)
        let path = "\(output.folder)/score-\(key.prefix(12)).json"
        if let score = SweepScore.read(path) { return score }
        if context?.hash != parent.record.output { context = nil }
        let scoring = try context ?? self.context(step, parent)
        context = scoring
        let isParent = step.kind == .parent
        let model = isParent ? scoring.model : try LoadedModel(name: step.name, path: output.model)
        let result = try scoring.comparison.score(model, scoring.text, reporter: reporter)
        let score = SweepScore(
            scoring.comparison.row(step.name, model.model.config, result), result,
            cache: measuredCache(model, scoring),
            klDivergence: isParent
                ? nil : try scoring.comparison.divergence(scoring.model, model, scoring.text, reporter: reporter))
        try score.write(to: path)
        reporter.line(String(format: "%@  %.4f bits per byte", step.name, result.bitsPerByte))
        return score
    }

    private func context(_ step: SweepStep, _ parent: SweepRecipes.Made) throws -> ScoringContext {
        let model = try LoadedModel(path: parent.model)
        let evaluation = lab.evaluation
        let comparison = Comparison(
            contextTokens: evaluation.contextTokens, batch: evaluation.batch, kvType: kvType,
            window: min(evaluation.window, model.model.config.maxSequence), bos: model.bosID == nil ? .never : .always)
        var recipe = self.recipe
        recipe.seed = step.seed
        let text = try recipes.evaluated?.text ?? recipes.corpus.validationText(recipe)
        try recipes.corpus.checkUnchanged()
        return ScoringContext(hash: parent.record.output, model: model, text: text, comparison: comparison)
    }

    private var kvType: KVEncoding { KVEncoding(name: lab.evaluation.kvDtype) ?? .float16 }

    /// The cache of one sequence of the text, as long as the model and the recipe allow; nil where the engine can't serve the model.
    private func measuredCache(_ model: LoadedModel, _ scoring: ScoringContext) -> MeasuredCache? {
        let tokens = min(model.model.config.maxSequence, lab.evaluation.contextTokens)
        // A token is seldom longer than this.
        let beginning = scoring.text.documents.joined(separator: "\n").utf8.prefix(32 * tokens)
        let ids = model.tokenizer.encode(String(decoding: beginning, as: UTF8.self)).prefix(tokens)
        guard !ids.isEmpty,
            let serving = try? ServingModel(config: model.checkpoint.config, parameters: model.checkpoint.parameters)
        else { return nil }
        return try? MeasuredCache.measure(serving, ids: Array(ids), encoding: kvType)
    }

    // MARK: Timing

    /// The timing that the recipe asks for, measured before or now: none or one; nil where `shouldStop` became true.
    private func timing(_ made: [Int: SweepRecipes.Made], shouldStop: () -> Bool) throws -> [DecodeTiming]? {
        guard let section = sweep.timing else { return [] }
        var seen: Set<ChildArchitecture?> = []
        let chosen = steps.enumerated().filter { index, step in
            [.parent, .converted].contains(step.kind) && made[index] != nil && seen.insert(step.architecture).inserted
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let hashes = chosen.compactMap { made[$0.offset]?.record.output }.joined(separator: "\n")
        let identity = String(decoding: try encoder.encode(section), as: UTF8.self) + lab.evaluation.kvDtype + hashes
        let key = SHA256Digest(of: "kvlab timing \(StepStore.format)\n\(MachineDescription.text)\n\(identity)").hex
        let path = "\(store.directory)/timing-\(key.prefix(12)).json"
        if let data = TextFile.ownBytes(path),
            let timing = try? JSONDecoder().decode(DecodeTiming.self, from: data)
        {
            return [timing]
        }
        let models = try chosen.compactMap { index, step -> (name: String, model: ServingModel)? in
            guard let output = made[index] else { return nil }
            let checkpoint = try Checkpoint.load(output.model, trainingState: false)
            return (
                step.architecture?.name ?? "parent",
                try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
            )
        }
        guard
            let timing = try DecodeTiming.measure(
                models, section, encoding: kvType, reporter: reporter, shouldStop: shouldStop)
        else { return nil }
        try TextFile.write(String(decoding: try encoder.encode(timing), as: UTF8.self) + "\n", to: path)
        return [timing]
    }

    // MARK: Results

    private func write(_ made: [Int: SweepRecipes.Made], _ scores: [Int: SweepScore], _ timing: DecodeTiming?) throws
        -> SweepResults
    {
        let evaluation = lab.evaluation
        let text =
            "\(evaluation.text ?? "validation part of " + recipe.data.files.joined(separator: ", ")), window \(evaluation.window)"
        var results = SweepResults(
            name: recipe.name, text: text, kvDtype: evaluation.kvDtype,
            points: SweepPoint.all(steps, made: made, scores: scores, store: store.directory), timing: timing)
        results.sharesTrajectories = recipes.plan.sharesTrajectories && sweep.alphas.count > 1
        results.recipe = recipe.resolvedJSON
        let examples = RecoveryExample.all(steps, made: made)
        results.predictions = [1, 2, 5, 10, 20].map { RecoveryJudgement(examples, within: $0) }
        try TextFile.write(results.json + "\n", to: directory + "/results.json")
        try TextFile.write(results.csv, to: directory + "/results.csv")
        try TextFile.write(results.markdown + "\n", to: directory + "/results.md")
        let report = try SweepReport(results: results, steps: steps, made: made, recipes: recipes)
        try TextFile.write(report.html, to: directory + "/report.html")
        return results
    }
}
