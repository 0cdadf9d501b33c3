import Checkpoints
import Conversion
import Files
import Foundation
import Recipes
import Text
import Training

/// Making the steps: parents, conversions and trainings.
extension Sweep {
    /// Keeps a given parent as a checkpoint of the sweep, its weights as they are.
    func take(
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

    /// Trains the step's model by its recipe, from the run's own checkpoint where it was interrupted; nil where it is interrupted
    /// again.
    func train(
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

    /// Removes the training states of these done steps, but for the states that a longer uptraining has yet to continue.
    func dropTrainingStates(_ indices: some Sequence<Int>, _ made: [Int: SweepRecipes.Made]) {
        let needed = Set(steps.indices.filter { made[$0] == nil }.compactMap { steps[$0].beginning })
        for index in indices where !needed.contains(index) {
            guard let folder = made[index]?.folder else { continue }
            try? FileManager.default.removeItem(atPath: folder + "/checkpoint.h5")
        }
    }

    /// Throws where an input differs from the contents in the step's key: it was changed while the sweep runs.
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

    /// Converts the parent and writes the diagnosis of the untrained child; nil where `shouldStop` ended it between two layers,
    /// from where the same step resumes.
    func convert(
        _ step: SweepStep, _ resolved: SweepRecipes.Resolved, _ folder: String, shouldStop: () -> Bool
    ) throws -> StepStore.Record? {
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
        var converter = try section.converter(parent, training: training)
        converter.store = ConversionStore(folder: folder + "/refining", parent: source.sha256)
        let display = ConversionDisplay(reporter, name: step.name)
        let converted: Checkpoint
        let report: ConversionReport
        do {
            (converted, report) = try withoutActuallyEscaping(shouldStop) { shouldStop in
                try parent.checkpoint.converted(by: converter) { progress in
                    display.show(progress)
                    if shouldStop() { throw ConversionStopped() }
                }
            }
        } catch is ConversionStopped {
            reporter.clear()
            return nil
        }
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
        try converter.store?.remove()
        return try finish(step, resolved, folder, seconds: (clock.now - begin) / .seconds(1), tokens: 0)
    }

    /// The calibration text for the diagnosis of a conversion without one; nil where the training text is too short.
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
}
