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

/// An experiment around one recipe: its parents, trained from each seed or given, their conversions, the uptrainings of these and the controls
/// for each token budget.
///
/// Children are the product of a sweep's axes, or those that the recipe lists. Every model has a folder with a record of all that decides
/// it (``StepStore``), and what is there is not made again: an interrupted sweep, however, goes on where it stopped, within a run from the
/// run's own checkpoint; a larger sweep makes the new models alone; and one parent is trained once. A conversion is a step of its own,
/// scored before its uptrainings start from it.
///
/// Folders of listed children bear their names alone. Where inputs have changed since such a folder was made it is refused, unless `force`
/// makes its step again: a table compares models of one text.
public struct Sweep {
    /// What a sweep leaves behind.
    public struct Result: Sendable {
        /// Every model's figures.
        public var results: SweepResults
        /// The comparison of listed children, the parent first; nil for the product of axes, whose table is over seeds.
        public var comparison: ComparisonTable?
        /// The report's path.
        public var reportPath: String
        /// Steps made by this call; the others were there.
        public var stepsMade: Int
        /// Wall-clock seconds of this call.
        public var seconds: Double

        /// The table to show.
        public var table: any ResultTable { comparison ?? results }
    }

    private let recipes: SweepRecipes
    private let directory: String
    private let logs: Set<MetricsLog>
    private let store: StepStore
    private let reporter: ProgressReporter
    private var recipe: Recipe { recipes.recipe }
    private var lab: LabRecipe { recipes.lab }
    private var steps: [SweepStep] { recipes.plan.steps }
    private var isListed: Bool { lab.sweep == nil }

    /// A sweep for a recipe with a `lab` section; reads the texts, whose content decides which steps are done already.
    ///
    /// Throws ``ExperimentError/recipe(key:reason:)`` for what can't be, before any work.
    ///
    /// - Parameter logs: the forms in which each run's metrics are written beside its metrics.jsonl.
    public init(
        recipe: Recipe, lab: LabRecipe, directory: String, logs: Set<MetricsLog> = [], reporter: ProgressReporter
    ) throws {
        recipes = try SweepRecipes(recipe: recipe, lab: lab)
        let directory = directory.count > 1 && directory.hasSuffix("/") ? String(directory.dropLast()) : directory
        self.directory = directory
        self.logs = logs
        store = StepStore(
            directory: lab.sweep.map { $0.store ?? directory + "/steps" } ?? directory, isAddressedByContent: lab.sweep != nil)
        self.reporter = reporter
        let training = try recipes.corpus.split(recipe).train.byteCount
        let isCalibrated = try lab.allChildren.contains { try $0.conversion.resolved().calibrationUse != .none }
        if training < Calibration.leastTokens, isCalibrated {
            throw ExperimentError.recipe(
                key: "data.files",
                reason: "the training part's \(training) bytes are too short to calibrate a conversion on; it takes "
                    + "\(Calibration.leastTokens) tokens")
        }
    }

    /// Makes what is not there yet; nil where `shouldStop` ended a run early.
    ///
    /// - Parameters:
    ///   - resume: whether a folder that holds the steps of listed children is gone on with; otherwise it is refused.
    ///   - force: whether listed children's steps are made again where their inputs have changed; otherwise they are refused.
    public func execute(resume: Bool = true, force: Bool = false, shouldStop: () -> Bool) throws -> Result? {
        let start = ContinuousClock.now
        if isListed, !resume, let parent = steps.first,
            // A given parent has no recipe of its own.
            ["recipe.json", "step.json"].contains(where: {
                FileManager.default.fileExists(atPath: "\(directory)/\(parent.folder)/\($0)")
            })
        {
            throw TrainingError.runExists(directory: directory)
        }
        for folder in [directory, store.directory] {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        }
        let lock = try FileLock(path: directory + "/lock", purpose: "kvlab lab")
        defer { withExtendedLifetime(lock) {} }
        defer { reporter.setPrefix("") }
        if isListed { try recordInputs(resume: resume, force: force) }
        var made = try found(force: force)
        let missing = steps.indices.filter { made[$0] == nil }
        // A kill between a step's record and this leaves its training state behind.
        dropTrainingStates(steps.indices, made)
        if recipes.plan.sharesTrajectories, lab.lengths.count > 1 {
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
                made[index] = try found(step, resolved, force: force)
                if made[index] == nil {
                    let folder = store.folder(step, key: resolved.key)
                    let record: StepStore.Record?
                    if step.kind == .converted {
                        if shouldStop() { return nil }
                        record = try convert(step, resolved, folder)
                    } else if step.kind == .parent, let given = step.given {
                        record = try take(recipes.parents[given], step, resolved, folder)
                    } else {
                        let beginning = step.beginning.flatMap { made[$0]?.folder }
                        record = try train(
                            step, resolved, folder, beginning: beginning, force: force, shouldStop: shouldStop
                        ) { progress.step($0.tokens, seconds: $0.seconds) }
                    }
                    guard let record else { return nil }
                    made[index] = SweepRecipes.Made(folder: folder, record: record)
                }
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
        var result = Result(
            results: results(made, scores, timing.first), reportPath: directory + "/report.html", stepsMade: missing.count,
            seconds: 0)
        if isListed { result.comparison = try comparison(made, scores, result.results) }
        try write(result, made)
        result.seconds = (ContinuousClock.now - start) / .seconds(1)
        return result
    }

    /// The plan for people: each step with its tokens, and whether it is there.
    public func planText() throws -> String {
        let made = try found(force: false)
        let lines = steps.indices.map { index in
            let step = steps[index]
            let given = step.kind == .parent ? step.given.map { recipes.parents[$0].path } : nil
            let work = step.kind == .converted ? "conversion" : given
            let text = work ?? "\(groupedDigits(ownTokens(index))) tokens"
            return "\(made[index] == nil ? "to make" : "there  ")  \(step.name)  \(text)"
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

    /// The steps that are done before, as far as those they are made from are.
    private func found(force: Bool) throws -> [Int: SweepRecipes.Made] {
        var made: [Int: SweepRecipes.Made] = [:]
        for (index, step) in steps.enumerated() {
            guard let resolved = recipes.resolve(step, made: made) else { continue }
            made[index] = try found(step, resolved, force: force)
        }
        return made
    }

    /// The step where it is done; nil where it is to be made.
    ///
    /// Throws ``TrainingError`` where its folder holds the same child's step of another recipe, or of other inputs without `force`.
    private func found(_ step: SweepStep, _ resolved: SweepRecipes.Resolved, force: Bool) throws -> SweepRecipes.Made? {
        let folder = store.folder(step, key: resolved.key)
        guard let record = store.record(in: folder) else { return nil }
        guard record.key == resolved.key else {
            // The beginning of a key in a folder's name that is another key's too.
            if store.isAddressedByContent { return nil }
            let changes = recipes.changes(of: resolved, since: record)
            guard !changes.isEmpty else { throw TrainingError.otherRecipe(directory: folder) }
            guard force else { throw TrainingError.changedInputs(directory: folder, changes) }
            reporter.line("\(step.name): made from other inputs; it is made again")
            try store.discard(folder)
            return nil
        }
        do {
            try store.checkModel(of: record, in: folder)
        } catch {
            // One bad file is a step to make again.
            reporter.line("\(step.name): to make again, as its model can't be used: \(error)")
            return nil
        }
        return SweepRecipes.Made(folder: folder, record: record)
    }

    /// Keeps the digests of all texts beside the results of listed children; throws where they are others than those it was begun with.
    private func recordInputs(resume: Bool, force: Bool) throws {
        let path = directory + "/inputs.json"
        if resume, let recorded = TextFile.ownBytes(path).flatMap({ try? JSONDecoder().decode(InputDigests.self, from: $0) }),
            recorded.version == InputDigests.currentVersion
        {
            let changes = recipes.inputs.changes(since: recorded)
            guard changes.isEmpty || force else { throw TrainingError.changedInputs(directory: directory, changes) }
        }
        try TextFile.write(CanonicalJSON.text(of: recipes.inputs, pretty: true) + "\n", to: path)
    }

    // MARK: Steps

    /// Keeps a given parent as a checkpoint of the sweep, its weights as they are.
    private func take(
        _ parent: SweepParent, _ step: SweepStep, _ resolved: SweepRecipes.Resolved, _ folder: String
    ) throws -> StepStore.Record {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let lock = try FileLock(path: folder + "/lock", purpose: "kvlab lab")
        defer { withExtendedLifetime(lock) {} }
        let start = ContinuousClock.now
        let checkpoint = try ModelImport.load(parent.path)
        let source = InputDigests.Input(key: "init.checkpoint", model: parent.path, contentHash: try checkpoint.identity())
        try check(InputDigests([source]), resolved)
        try checkpoint.save(to: Run.modelPath(folder))
        return try finish(
            step, resolved, folder, seconds: (ContinuousClock.now - start) / .seconds(1), tokens: parent.tokensSeen)
    }

    /// Trains what the step's recipe says, from the run's own checkpoint where it was interrupted; nil where it is again.
    private func train(
        _ step: SweepStep, _ resolved: SweepRecipes.Resolved, _ folder: String, beginning: String?, force: Bool,
        shouldStop: () -> Bool, onStep: (Trainer.StepReport) -> Void
    ) throws -> StepStore.Record? {
        let prepared = try PreparedRun(resolved.recipe, corpus: recipes.corpus, reporter: reporter)
        try check(prepared.inputs, resolved)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let resumes = try makeResumable(folder, as: prepared, beginning: beginning)
        let run = Run(prepared, directory: folder, logs: logs, reporter: reporter)
        let outcome: Run.Outcome
        do {
            outcome = try run.execute(resume: resumes, shouldStop: shouldStop, onStep: onStep)
        } catch let error as TrainingError where force && error.isOfInputs {
            reporter.line("\(step.name): begun with other inputs; it is made again")
            try store.discard(folder)
            outcome = try run.execute(resume: false, shouldStop: shouldStop, onStep: onStep)
        }
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
    /// A key in the folder's name says that all that decides the run is the same; its recipe may still name other places, as when the
    /// sweep's folder was moved, and a checkpoint of a shorter uptraining names another share. A folder without a key may hold any run,
    /// which is left for ``Run`` to refuse.
    private func makeResumable(_ folder: String, as prepared: PreparedRun, beginning: String?) throws -> Bool {
        let (own, model) = (folder + "/checkpoint.h5", Run.modelPath(folder))
        let files = FileManager.default
        let isVouchedFor = store.isAddressedByContent || store.record(in: folder) != nil
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
            // A model without a record of its content, or with one of other content, is of no use.
            if isVouchedFor, files.fileExists(atPath: model) { try files.removeItem(atPath: model) }
            return false
        }
        guard var checkpoint = try? Checkpoint.load(own) else {
            reporter.line("\(own): damaged; the run begins anew")
            try files.removeItem(atPath: own)
            if files.fileExists(atPath: model) { try files.removeItem(atPath: model) }
            return false
        }
        if isVouchedFor, !prepared.isRecipe(of: checkpoint.lineage) {
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
        let converter = try section.converter(parent, training: training)
        let display = ConversionDisplay(reporter, name: step.name)
        let (converted, report) = try parent.checkpoint.converted(by: converter) { display.show($0) }
        try recipes.corpus.checkUnchanged()
        reporter.clear()
        var child = converted
        child.lineage.name = step.name
        try TextFile.write(CanonicalJSON.text(of: start, pretty: true) + "\n", to: folder + "/conversion.json")
        // A diagnosis is of heads that merge.
        if report.grouping != nil, let calibration = try converter.calibration ?? calibration(section, parent, training) {
            reporter.progress("\(step.name)  diagnosing")
            let diagnosis = try Diagnosis(
                parent: (parent.checkpoint.config, parent.checkpoint.parameters), child: (child.config, child.parameters),
                method: report.method, calibration: calibration)
            reporter.clear()
            // A model whose losses are no numbers has no diagnosis to keep.
            if let text = try? CanonicalJSON.text(of: diagnosis, pretty: true) {
                try TextFile.write(text + "\n", to: folder + "/diagnosis.json")
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
        // A parent that is no recipe's is first seen here.
        try model.model.config.kvGeometry(kvType).checkEncoding()
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

    private var kvType: KVEncoding { KVEncoding(name: lab.evaluation.kvDtype) ?? .standard }

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
        guard let section = lab.sweep?.timing else { return [] }
        struct Timed: Hashable {
            var parent: String?
            var architecture: ChildArchitecture?
        }
        var seen: Set<Timed> = []
        let chosen = steps.enumerated().filter { index, step in
            [.parent, .converted].contains(step.kind) && made[index] != nil
                && seen.insert(Timed(parent: step.parentName, architecture: step.architecture)).inserted
        }
        let hashes = chosen.compactMap { made[$0.offset]?.record.output }.joined(separator: "\n")
        let identity = try CanonicalJSON.text(of: section, pretty: true) + lab.evaluation.kvDtype + hashes
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
                (step.parentName.map { $0 + " " } ?? "") + (step.architecture?.name ?? "parent"),
                try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters)
            )
        }
        guard
            let timing = try DecodeTiming.measure(
                models, section, encoding: kvType, reporter: reporter, shouldStop: shouldStop)
        else { return nil }
        try TextFile.write(CanonicalJSON.text(of: timing, pretty: true) + "\n", to: path)
        return [timing]
    }

    // MARK: Results

    private func results(
        _ made: [Int: SweepRecipes.Made], _ scores: [Int: SweepScore], _ timing: DecodeTiming?
    ) -> SweepResults {
        var results = SweepResults(
            name: recipe.name, text: text, kvDtype: lab.evaluation.kvDtype,
            points: SweepPoint.all(steps, made: made, scores: scores, store: store.directory, isListed: isListed), timing: timing)
        results.sharesTrajectories = recipes.plan.sharesTrajectories && lab.lengths.count > 1
        results.recipe = recipe.resolvedJSON
        let examples = RecoveryExample.all(steps, made: made)
        results.predictions = [1, 2, 5, 10, 20].map { RecoveryJudgement(examples, within: $0) }
        return results
    }

    /// The text scored, in words.
    private var text: String {
        let limits = recipes.parents.isEmpty ? [recipe.model?.maxSeq ?? .max] : recipes.parents.map(\.config.maxSequence)
        let windows = Set(limits.map { min(lab.evaluation.window, $0) }).sorted().map(String.init)
        let window = windows.joined(separator: " or ")
        let files = recipe.data.files.map(\.path).joined(separator: ", ")
        return "\(lab.evaluation.text ?? "validation part of " + files), window \(window)"
    }

    /// The trained models side by side, each with its figures to the parent.
    private func comparison(
        _ made: [Int: SweepRecipes.Made], _ scores: [Int: SweepScore], _ results: SweepResults
    ) throws -> ComparisonTable {
        let evaluation = lab.evaluation
        let comparison = Comparison(contextTokens: evaluation.contextTokens, batch: evaluation.batch, kvType: kvType)
        let points = Dictionary(results.points.map { ($0.folder, $0) }) { first, _ in first }
        let rows = try steps.indices.compactMap { index -> ComparisonRow? in
            let step = steps[index]
            guard let output = made[index], let score = scores[index], let point = points[step.folder] else { return nil }
            let model = try Checkpoint.load(output.model, verify: .structure, trainingState: false)
            var row = comparison.row(point.name, model.config, score.result)
            if step.kind == .child, let before = step.source.flatMap({ scores[$0]?.result }) {
                (row.perplexityBefore, row.bitsPerByteBefore) = (before.perplexity, before.bitsPerByte)
            }
            guard step.kind != .parent else { return row }
            (row.difference, row.standardError) = (point.difference, point.standardError)
            (row.klDivergence, row.uptrainedTokens) = (point.klDivergence, point.tokens)
            row.isControl = step.kind == .continued
            return row
        }
        return ComparisonTable(
            text: text, contextTokens: evaluation.contextTokens, batch: evaluation.batch, kvDtype: evaluation.kvDtype, rows: rows)
    }

    private func write(_ result: Result, _ made: [Int: SweepRecipes.Made]) throws {
        try TextFile.write(result.table.json + "\n", to: directory + "/results.json")
        try TextFile.write(result.table.csv, to: directory + "/results.csv")
        try TextFile.write(result.table.markdown + "\n", to: directory + "/results.md")
        let report = try SweepReport(result: result, steps: steps, made: made, recipes: recipes)
        try TextFile.write(report.html, to: directory + "/report.html")
        if let image = report.image { try TextFile.write(image, to: directory + "/pareto.svg") }
    }
}
