import Checkpoints
import Conversion
import Evaluation
import Foundation
import Kernels
import Models
import Recipes
import Text
import Training

/// A whole experiment: train a parent, convert it, uptrain each child, continue the parent as the control, compare.
///
/// Each part has a directory of its own under the lab's, and a part that is finished is not done again: an interrupted lab
/// goes on where it stopped.
public struct Lab {
    /// What a lab leaves behind.
    public struct Result: Sendable {
        /// The comparison, the parent first.
        public var table: ComparisonTable
        /// The report's path.
        public var reportPath: String
        /// Wall-clock seconds of this call.
        public var seconds: Double
    }

    private let recipe: Recipe
    private let lab: LabRecipe
    private let directory: String
    private let reporter: ProgressReporter

    /// A lab for a recipe with a `lab` section.
    public init(recipe: Recipe, lab: LabRecipe, directory: String, reporter: ProgressReporter) {
        self.recipe = recipe
        self.lab = lab
        self.directory = directory
        self.reporter = reporter
    }

    private func path(_ part: String) -> String { directory + "/" + part }

    /// Runs what is not done yet; nil where `shouldStop` ended a run early.
    ///
    /// Without `resume`, a directory that holds a lab already is refused. Where inputs have changed since it was begun, it is refused
    /// too unless `force` says to make again what was made from others: a table compares models of one text.
    public func execute(resume: Bool, force: Bool = false, shouldStop: () -> Bool) throws -> Result? {
        let start = ContinuousClock.now
        let parentDirectory = path("parent")
        if !resume, FileManager.default.fileExists(atPath: parentDirectory + "/recipe.json") {
            throw TrainingError.runExists(directory: directory)
        }
        try checkChildren()
        var parentRecipe = recipe
        parentRecipe.lab = nil
        parentRecipe.name = "parent"
        // Read once: all parts are of one text, whatever becomes of the files meanwhile.
        let corpus = try Corpus(recipe.data)
        let evaluated = try lab.evaluation.read(separator: recipe.data.documentSeparator)
        try record(
            InputDigests(corpus.inputs + (try recipe.tokenizer?.inputs() ?? []) + (evaluated.map { [$0.input] } ?? [])),
            resume: resume, force: force)
        func train(_ prepared: PreparedRun, _ part: String) throws -> Bool {
            try self.train(prepared, part, force: force, shouldStop: shouldStop)
        }
        guard try train(PreparedRun(parentRecipe, corpus: corpus, reporter: reporter), "parent") else { return nil }
        let parentPath = Run.modelPath(parentDirectory)
        let parent = try LoadedModel(path: parentPath)
        let evaluation = lab.evaluation
        let comparison = Comparison(
            contextTokens: evaluation.contextTokens, batch: evaluation.batch,
            kvType: KVEncoding(name: evaluation.kvDtype) ?? .float16,
            window: min(evaluation.window, parent.model.config.maxSequence), bos: parent.bosID == nil ? .never : .always)
        let text = try evaluated?.text ?? corpus.validationText(recipe)
        let reference = try comparison.score(parent, text, reporter: reporter)
        var rows = [comparison.row("parent", parent.model.config, reference)]

        var parts = lab.children.map { (name: $0.name, convert: Optional($0)) }
        if lab.control { parts.insert(("parent continued", nil), at: 0) }
        for part in parts {
            let child = part.convert
            // Converted once: what is scored is what the uptraining starts from.
            let prepared = try PreparedRun(uptraining(child, parentPath: parentPath), corpus: corpus, reporter: reporter)
            var before: PerplexityResult?
            if let child {
                let converted = Checkpoint(
                    config: prepared.config, parameters: prepared.parameters, tokenizer: prepared.tokenizer.serialized,
                    tokenIDs: prepared.tokenIDs)
                before = try comparison.score(
                    try LoadedModel(name: child.name, checkpoint: converted, path: parentPath), text, reporter: reporter)
            }
            let directoryName = child?.name ?? "control"
            guard try train(prepared, directoryName) else { return nil }
            let trained = try LoadedModel(path: Run.modelPath(path(directoryName)))
            let result = try comparison.score(trained, text, reporter: reporter)
            var row = comparison.row(part.name, trained.model.config, result)
            row.perplexityBefore = before?.perplexity
            row.bitsPerByteBefore = before?.bitsPerByte
            let paired = PairedDifference(reference: reference, other: result)
            row.difference = paired.bitsPerByte
            row.standardError = paired.standardError
            row.klDivergence = try comparison.divergence(parent, trained, text, reporter: reporter)
            row.uptrainedTokens = trained.checkpoint.lineage.tokensSeen - parent.checkpoint.lineage.tokensSeen
            row.isControl = child == nil
            rows.append(row)
            reporter.line(
                "\(part.name)  \(String(format: "%.4f bits per byte, %+.4f to the parent", row.bitsPerByte, paired.bitsPerByte))")
        }
        try corpus.checkUnchanged()
        let table = ComparisonTable(
            text:
                "\(evaluation.text ?? "validation part of " + recipe.data.files.joined(separator: ", ")), window \(comparison.window)",
            contextTokens: evaluation.contextTokens, batch: evaluation.batch, kvDtype: evaluation.kvDtype, rows: rows)
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        try write(table.json + "\n", to: "results.json")
        try write(table.markdown + "\n", to: "results.md")
        try write(table.csv, to: "results.csv")
        let similarity = try (0..<parent.model.config.layers).map {
            try HeadSimilarity(parent.checkpoint.config, parent.checkpoint.parameters, layer: $0)
        }
        try write(report(table, similarity), to: "report.html")
        return Result(table: table, reportPath: path("report.html"), seconds: seconds)
    }

    private func checkChildren() throws {
        for child in lab.children where ConversionMethods.named(child.method) == nil {
            throw ConversionError.unknownMethod(child.method)
        }
        for child in lab.children {
            guard let attention = child.attention, let model = recipe.model else { continue }
            let config = try model.config(vocabularySize: recipe.tokenizer?.vocabSize ?? 256)
            do {
                _ = try ArchitectureConversion.childConfig(config, attention.design(headDim: config.headDim[0]))
            } catch {
                throw ExperimentError.recipe(key: "lab.children '\(child.name)'", reason: "\(error)")
            }
        }
    }

    /// The parent's recipe turned into a short training of a child, or of the parent itself.
    private func uptraining(_ child: LabRecipe.Child?, parentPath: String) -> Recipe {
        recipe.uptraining(
            name: child?.name ?? "parent continued",
            from: InitRecipe(
                checkpoint: parentPath,
                convert: child.map(conversion)),
            UptrainRecipe(
                alpha: lab.alpha, learningRate: lab.learningRate, distill: child == nil ? nil : lab.distill,
                stopAt: child == nil ? nil : lab.stopAt, keyValueShare: child == nil ? nil : lab.keyValueShare))
    }

    private func conversion(_ child: LabRecipe.Child) -> InitRecipe.Convert {
        InitRecipe.Convert(
            kvHeads: child.kvHeads, attention: child.attention, method: child.method, grouping: child.grouping,
            calibrationTokens: child.calibrationTokens,
            seed: recipe.seed)
    }

    /// Keeps what the lab was begun with beside its results, and compares with that where it goes on.
    private func record(_ inputs: InputDigests, resume: Bool, force: Bool) throws {
        let recordPath = path("inputs.json")
        if resume, let data = TextFile.ownBytes(recordPath) {
            let recorded = try? JSONDecoder().decode(InputDigests.self, from: data)
            let changes = recorded.map { $0.version == InputDigests.currentVersion ? inputs.changes(since: $0) : [] } ?? []
            guard changes.isEmpty || force else { throw TrainingError.changedInputs(directory: directory, changes) }
        }
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try write(String(decoding: try encoder.encode(inputs), as: UTF8.self) + "\n", to: "inputs.json")
    }

    /// Trains unless it is done; false where it was stopped.
    private func train(_ prepared: PreparedRun, _ part: String, force: Bool, shouldStop: () -> Bool) throws -> Bool {
        let directory = path(part)
        let run = Run(prepared, directory: directory, reporter: reporter)
        func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }
        do {
            if exists(directory + "/recipe.json"), exists(Run.modelPath(directory)) {
                let model = try Checkpoint.load(Run.modelPath(directory), verify: .structure, trainingState: false)
                try prepared.compare(model, in: directory, reporter: reporter)
                reporter.line("\(prepared.name): done before")
                return true
            }
            return try run.execute(resume: exists(directory + "/checkpoint.h5"), shouldStop: shouldStop).finished
        } catch let error as TrainingError where force && error.isOfInputs {
            reporter.line("\(prepared.name): made from other inputs; it is made again")
            try run.discard()
            return try run.execute(resume: false, shouldStop: shouldStop).finished
        }
    }

    private func report(_ table: ComparisonTable, _ similarity: [HeadSimilarity]) -> String {
        let parts = [("parent", "parent"), ("parent continued", "control")] + lab.children.map { ($0.name, $0.name) }
        let curves = parts.map { name, part in
            HTMLReport.Curve(
                name: name,
                points: MetricsFile.read(path: path(part) + "/metrics.jsonl").compactMap { line in
                    line.loss.map { (line.step, $0) }
                })
        }
        return HTMLReport(
            title: recipe.name, table: table, curves: curves, recipeJSON: recipe.resolvedJSON, similarity: similarity
        ).html
    }

    private func write(_ text: String, to name: String) throws { try TextFile.write(text, to: path(name)) }
}
