import Checkpoints
import Conversion
import Files
import Foundation
import Kernels
import Recipes
import Threads
import Training

/// An experiment around one recipe: its parents, trained from each seed or given, their conversions, the uptrainings of these and the controls
/// for each token budget.
///
/// Children are the product of a sweep's axes, or the recipe's list. Every model has a folder with a record of all that decides it
/// (``StepStore``), and a model with such a record is not made again: an interrupted sweep goes on where it stopped, within a run from the
/// run's own checkpoint; a larger sweep makes the new models alone; and one parent is trained once. A conversion is a step of its own,
/// scored before its uptrainings start from it.
///
/// Folders of listed children bear their names alone. Where inputs have changed since such a folder was made it is refused, unless `force`
/// makes its step again: a table compares models of one text.
public struct Sweep {
    /// The results of a sweep.
    public struct Result: Sendable {
        /// Every model's figures.
        public var results: SweepResults
        /// The comparison of listed children, the parent first; nil for the product of axes, whose table is over seeds.
        public var comparison: ComparisonTable?
        /// The models through compressed caches; nil where the recipe lists none.
        public var frontier: CacheFrontier?
        /// The report's path.
        public var reportPath: String
        /// Steps made by this call; the others were there.
        public var stepsMade: Int
        /// Wall-clock seconds of this call.
        public var seconds: Double
        /// The budget of this call in seconds; nil for none.
        public var budget: Double?

        /// The table to show.
        public var table: any ResultTable { comparison ?? results }

        /// The time that this call took beside its budget, in words.
        public var duration: String {
            let time = ProgressReporter.duration(seconds)
            let excess = SweepProgress.excess(seconds, budget)
            return excess.isEmpty ? time + (budget.map { " of \(ProgressReporter.duration($0))" } ?? "") : time + excess
        }
    }

    let recipes: SweepRecipes
    let directory: String
    let logs: Set<MetricsLog>
    let store: StepStore
    let reporter: ProgressReporter
    let chats: LabTask.Chats
    var recipe: Recipe { recipes.recipe }
    var lab: LabRecipe { recipes.lab }
    var steps: [SweepStep] { recipes.plan.steps }
    var isListed: Bool { lab.sweep == nil }

    /// A sweep for a recipe with a `lab` section; reads the texts, whose content decides which steps are done already.
    ///
    /// Throws ``ExperimentError/recipe(key:reason:)`` for an impossible recipe, before any work.
    ///
    /// - Parameters:
    ///   - logs: the forms in which each run's metrics are written beside its metrics.jsonl.
    ///   - chats: the templates of tasks whose `chat` is that policy; nil for none.
    public init(
        recipe: Recipe, lab: LabRecipe, directory: String, logs: Set<MetricsLog> = [], reporter: ProgressReporter,
        chats: @escaping @Sendable (_ policy: String) -> LongContextEvaluation.Chat? = { _ in nil }
    ) throws {
        self.chats = chats
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
        try recipes.checkTexts(reporter)
    }

    /// Makes the missing models; nil where `shouldStop` ended a run early.
    ///
    /// - Parameters:
    ///   - resume: whether a folder that holds the steps of listed children is gone on with; otherwise it is refused.
    ///   - force: whether listed children's steps are made again where their inputs have changed; otherwise they are refused.
    ///   - budget: seconds that all is meant to take, which progress is compared with; nothing is cut short.
    public func execute(
        resume: Bool = true, force: Bool = false, budget: Double? = nil, shouldStop: () -> Bool
    ) async throws -> Result? {
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
            reporter, total: steps.count, tokensToDo: missing.reduce(0) { $0 + ownTokens($1) }, budget: budget)
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
                        record = try convert(step, resolved, folder, shouldStop: shouldStop)
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
            seconds: 0, budget: budget)
        if isListed { result.comparison = try comparison(made, scores, result.results) }
        guard let frontier = try frontier(made, result.results.points, shouldStop: shouldStop) else { return nil }
        result.frontier = frontier.first
        try recommend(made, &result)
        guard let tasks = try await tasks(made, scores, result.results.points, shouldStop: shouldStop) else { return nil }
        result.results.tasks = tasks.first
        result.comparison?.tasks = tasks.first
        result.seconds = (ContinuousClock.now - start) / .seconds(1)
        try write(result, made)
        return result
    }

    /// The plan for people: each step with its tokens, FLOPs, memory and time, and whether it is done.
    ///
    /// The time is that of the trainings alone, at ``RunEstimate/share`` of the machine's product peak, which is measured here.
    public func planText() throws -> String {
        let made = try found(force: false)
        let missing = steps.indices.filter { made[$0] == nil }
        let peak = missing.contains { ownSteps($0) > 0 } ? PeakMeasurement.gemmFlopsPerSecond(recipe.train.dtype) : 1
        var estimates: [Int: RunEstimate] = [:]
        for index in missing {
            guard let shape = try recipes.runShape(of: steps[index], steps: ownSteps(index)) else { continue }
            estimates[index] = RunEstimate(shape, flopsPerSecond: peak)
        }
        let lines = steps.indices.map { index in
            let step = steps[index]
            let given = step.kind == .parent ? step.given.map { recipes.parents[$0].path } : nil
            let work = step.kind == .converted ? "conversion" : given
            let text = work ?? "\(groupedDigits(ownTokens(index))) tokens"
            let estimate = estimates[index].map { ": \($0.line)" } ?? ""
            return "\(made[index] == nil ? "to make" : "there  ")  \(step.name)  \(text)\(estimate)"
        }
        let tokens = missing.reduce(0) { $0 + ownTokens($1) }
        var total = "\(steps.count) steps, \(missing.count) to make: \(groupedDigits(tokens)) tokens to train on"
        if let memory = estimates.values.map(\.memoryBytes).max() {
            let seconds = estimates.values.reduce(0) { $0 + $1.seconds }
            total += ", about \(ProgressReporter.duration(seconds)) on \(Parallel.threads) threads beside conversions and scores"
            total += ", about \(byteCountText(memory)) resident at the peak"
        }
        return try (lines + [total] + measurementText(made) + taskText(made)).joined(separator: "\n")
    }

    /// Optimizer steps of a step's own training, those of its beginning left out; 0 for a step without one.
    private func ownSteps(_ index: Int) -> Int {
        steps[index].trainingSteps - (steps[index].beginning.map { steps[$0].trainingSteps } ?? 0)
    }

    /// Tokens that a step is trained on itself, those of its beginning left out.
    private func ownTokens(_ index: Int) -> Int {
        steps[index].tokens - (steps[index].beginning.map { steps[$0].tokens } ?? 0)
    }

    /// The steps done by earlier calls, as far as their inputs are done too.
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

    /// Writes the digests of all texts beside the results of listed children; throws where they differ from the recorded ones.
    private func recordInputs(resume: Bool, force: Bool) throws {
        let path = directory + "/inputs.json"
        if resume, let recorded = TextFile.value(InputDigests.self, at: path), recorded.version == InputDigests.currentVersion {
            let changes = recipes.inputs.changes(since: recorded)
            guard changes.isEmpty || force else { throw TrainingError.changedInputs(directory: directory, changes) }
        }
        try TextFile.write(CanonicalJSON.text(of: recipes.inputs, pretty: true) + "\n", to: path)
    }
}
