import Checkpoints
import Files
import Foundation
import Inference
import Models
import Random
import Text
import Training

/// One execution of a recipe in a directory of its own.
///
///     DIR/recipe.json     the resolved recipe
///     DIR/metrics.jsonl   one line an event
///     DIR/events.out.tfevents.kvlab   the same figures for TensorBoard, where they are wanted
///     DIR/checkpoint.h5   weights with the training state, to resume from
///     DIR/model.h5        the finished model, without training state
///     DIR/lock            held while the run is going on
public struct Run {
    /// The run's folder.
    public let directory: String
    private let prepared: PreparedRun
    private let reporter: ProgressReporter
    private let logs: Set<MetricsLog>

    /// The end of a run.
    public struct Outcome: Sendable {
        /// Whether the last step was reached.
        public var finished: Bool
        /// Steps done.
        public var step: Int
        /// The finished model's file, or the checkpoint to resume from.
        public var path: String
        /// Tokens the run has read.
        public var tokensSeen: Int
        /// The last validation's loss in nats per token.
        public var validationLoss: Double?
    }

    /// A run of `prepared` that will write to `directory`; nothing is read or written before ``execute(resume:force:shouldStop:onStep:)``.
    ///
    /// - Parameter logs: the forms in which metrics are written beside metrics.jsonl.
    public init(_ prepared: PreparedRun, directory: String, logs: Set<MetricsLog> = [], reporter: ProgressReporter) {
        self.prepared = prepared
        self.logs = logs
        self.directory = directory
        self.reporter = reporter
    }

    private var checkpointPath: String { directory + "/checkpoint.h5" }
    private var metricsPath: String { directory + "/metrics.jsonl" }
    private var eventsPath: String { directory + "/" + EventFile.name }

    /// The finished model's file in a run's directory.
    public static func modelPath(_ directory: String) -> String { directory + "/model.h5" }

    /// Runs to the end, or to the end of the step in which `shouldStop` becomes true.
    ///
    /// Throws ``TrainingError`` where the directory holds another run, its inputs have changed, there is nothing to resume or the
    /// loss diverges.
    ///
    /// - Parameters:
    ///   - force: whether to resume although inputs have changed, which the lineage then says.
    ///   - onStep: told of each step.
    public func execute(
        resume: Bool, force: Bool = false, shouldStop: () -> Bool = { false }, onStep: (Trainer.StepReport) -> Void = { _ in }
    ) throws -> Outcome {
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let lock = try FileLock(path: directory + "/lock", purpose: "kvlab train")
        defer { withExtendedLifetime(lock) {} }
        try refuseLinks()
        let (trainer, lineage) = try makeTrainer(resume: resume, force: force)
        try TextFile.write(prepared.recipeJSON + "\n", to: directory + "/recipe.json")
        let metrics = try MetricsFile(path: metricsPath, keepingThrough: trainer.step)
        let events = try events(from: trainer.step)
        let display = RunDisplay(prepared: prepared, reporter: reporter, firstStep: trainer.step)
        var lastGood: String? = trainer.step > 0 ? checkpointPath : nil
        var validationLoss: Double?
        display.begin(trainer)
        let finished: Bool
        do {
            finished = try trainer.run(shouldStop: shouldStop) { event, trainer in
                var line = MetricsFile.Line(step: trainer.step)
                switch event {
                case .step(let report):
                    line.loss = report.loss
                    line.learningRate = report.learningRate
                    line.gradientNorm = report.gradientNorm
                    line.tokensPerSecond = Double(report.tokens) / report.seconds
                    onStep(report)
                    display.step(report)
                case .validation(_, let loss):
                    validationLoss = loss
                    line.validationLoss = loss
                    line.validationBitsPerByte = prepared.bitsPerByte(loss)
                    display.validation(step: trainer.step, loss: loss)
                case .sampleDue(let step):
                    line.sample = try prepared.sample(trainer.weights.parameters, step: step)
                    display.sample(step: step, text: line.sample ?? "")
                case .checkpointDue:
                    try checkpoint(trainer, lineage).save(to: checkpointPath)
                    lastGood = checkpointPath
                    return
                }
                try metrics.write(line)
                try events?.write(line)
            }
        } catch TrainingError.notFinite(let step, let loss, let norm, let rate) {
            throw TrainingError.diverged(step: step, loss: loss, gradientNorm: norm, learningRate: rate, checkpoint: lastGood)
        }
        reporter.clear()
        // A run that went on after its last validation has it in its file.
        validationLoss =
            validationLoss ?? MetricsFile.read(path: metricsPath).last { $0.validationLoss != nil }?.validationLoss
        var path = checkpointPath
        if finished {
            path = Self.modelPath(directory)
            var model = try checkpoint(trainer, lineage)
            model.trainingState = nil
            model.lineage.figures = validationLoss.map {
                Lineage.Figures(validationLoss: $0, validationBitsPerByte: prepared.bitsPerByte($0))
            }
            try model.save(to: path)
        }
        return Outcome(
            finished: finished, step: trainer.step, path: path, tokensSeen: trainer.tokensSeen,
            validationLoss: validationLoss)
    }

    /// TensorBoard's file of a run that goes on behind `step`; nil where it isn't wanted.
    private func events(from step: Int) throws -> EventFile? {
        guard logs.contains(.tensorboard) else { return nil }
        return try EventFile(path: eventsPath, keepingThrough: step, lines: MetricsFile.read(path: metricsPath)) {
            Date().timeIntervalSince1970
        }
    }

    /// Throws for a symbolic link at a path that the run writes, before the training and not after it.
    private func refuseLinks() throws {
        for path in [directory + "/recipe.json", metricsPath, eventsPath, checkpointPath, Self.modelPath(directory)] {
            guard (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) == nil else {
                throw FileError.symbolicLink(path: path)
            }
        }
    }

    /// The trainer at the run's first step or its checkpoint's, and the lineage of its weights without the run's own steps.
    private func makeTrainer(resume: Bool, force: Bool) throws -> (Trainer, Lineage) {
        let exists = FileManager.default.fileExists(atPath: checkpointPath)
        if !exists, FileManager.default.fileExists(atPath: Self.modelPath(directory)) {
            throw TrainingError.finishedBefore(directory: directory)
        }
        guard resume else {
            guard !exists else { throw TrainingError.runExists(directory: directory) }
            let trainer = try Trainer(
                config: prepared.config, parameters: prepared.parameters, plan: prepared.plan, data: prepared.data)
            return (trainer, prepared.lineage)
        }
        guard exists else { throw TrainingError.nothingToResume(directory: directory) }
        let checkpoint = try Checkpoint.load(checkpointPath)
        let changes = try prepared.compare(checkpoint, in: directory, force: force, reporter: reporter)
        let trainer = try Trainer(resuming: checkpoint, plan: prepared.plan, data: prepared.data)
        // The origin of the weights is as it was, whatever the recipe's model is now.
        var lineage = prepared.lineage
        lineage.parentHash = checkpoint.lineage.parentHash
        lineage.steps = checkpoint.lineage.steps - trainer.step
        lineage.tokensSeen = checkpoint.lineage.tokensSeen - trainer.tokensSeen
        lineage.changedInputs = checkpoint.lineage.changedInputs
        for var change in changes {
            reporter.line("\(change.path ?? change.key) has changed; going on with it, as --force says")
            change.step = trainer.step
            lineage.changedInputs = (lineage.changedInputs ?? []) + [change]
        }
        return (trainer, lineage)
    }

    private func checkpoint(_ trainer: Trainer, _ lineage: Lineage) throws -> Checkpoint {
        var lineage = lineage
        lineage.steps += trainer.step
        lineage.tokensSeen += trainer.tokensSeen
        lineage.training?.nextSample = prepared.plan.firstSample + trainer.step * prepared.plan.batch
        return Checkpoint(
            config: trainer.config, parameters: trainer.weights.parameters, tokenizer: prepared.tokenizer.serialized,
            tokenIDs: prepared.tokenIDs, lineage: lineage, trainingState: try trainer.trainingState())
    }
}
