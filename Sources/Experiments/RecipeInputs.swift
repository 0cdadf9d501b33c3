import Checkpoints
import Evaluation
import Files
import Foundation
import Recipes
import Text
import Training

extension Corpus {
    /// The texts that a recipe's data section names, chats written by their template.
    init(_ recipe: Recipe) throws {
        try self.init(
            recipe.data.files, separator: recipe.data.documentSeparator,
            chats: { () throws(ChatFault) in try ChatTemplateRenderer(recipe) })
    }

    /// The recipe's training and held-out documents of these.
    func split(_ recipe: Recipe) throws -> (train: Corpus, validation: Corpus) {
        try split(
            fraction: recipe.data.validation.fraction, by: recipe.data.validation.by, seed: UInt64(recipe.seed),
            isPerSource: recipe.data.isWeighted)
    }

    /// The recipe's held-out documents of these, to score.
    func validationText(_ recipe: Recipe) throws -> EvaluationText {
        let validation = try split(recipe).validation
        return EvaluationText(documents: validation.documents.map { validation.text($0) })
    }

    /// The files as a run's inputs.
    var inputs: [InputDigests.Input] {
        contents.enumerated().map { index, file in
            InputDigests.Input(key: "data.files[\(index)]", path: file.path, sha256: file.sha256, bytes: file.bytes)
        }
    }
}

extension DataRecipe {
    /// The chat template's file as a run's input; none where a model gives it.
    func templateInput() throws -> [InputDigests.Input] {
        try chatTemplate.map { [try InputDigests.Input(key: "data.chatTemplate", file: $0)] } ?? []
    }
}

extension TokenizerRecipe {
    /// The tokenizer's file and the configuration beside it as a run's inputs; none for a tokenizer without a file.
    func inputs() throws -> [InputDigests.Input] {
        guard let path else { return [] }
        var inputs = [try InputDigests.Input(key: "tokenizer.path", file: path)]
        if let configuration = TokenizerFile.configuration(path) {
            inputs.append(try InputDigests.Input(key: "tokenizer.configuration", file: configuration))
        }
        return inputs
    }
}

extension LabRecipe.Evaluation {
    /// The text to score and the input that it was read from; nil where the validation part is scored.
    ///
    /// Throws ``ExperimentError/recipe(key:reason:)`` for a text that can't be read.
    func read(separator: String?) throws -> (text: EvaluationText, input: InputDigests.Input)? {
        guard let path = text else { return nil }
        let corpus: Corpus
        do { corpus = try Corpus(paths: [path]) } catch {
            throw ExperimentError.recipe(key: "lab.evaluation.text", reason: "\(error)")
        }
        let content = corpus.contents[0]
        let input = InputDigests.Input(
            key: "lab.evaluation.text", path: path, sha256: content.sha256, bytes: content.bytes)
        // The separator is that of the data, whose texts may be others.
        let separator = corpus.documents.contains { corpus.format(of: $0) == .text } ? separator : nil
        return (try EvaluationText(corpus, splitOn: separator), input)
    }
}

extension EvaluationText {
    /// The documents of `corpus`, which was opened without a separator: plain text is cut at `separator`, each JSON line is a document as
    /// it is.
    ///
    /// Throws ``TextError/separatorOfLines`` where there is no plain text to cut.
    public init(_ corpus: Corpus, splitOn separator: String?) throws {
        let hasText = corpus.documents.contains { corpus.format(of: $0) == .text }
        guard separator == nil || hasText else { throw TextError.separatorOfLines }
        self.init(
            documents: corpus.documents.flatMap { document in
                let text = corpus.text(document)
                guard corpus.format(of: document) == .text else { return [text] }
                return EvaluationText(text, splitOn: separator).documents
            })
    }
}

extension Recipe {
    /// The recipe with its models named by their content hashes in `inputs` in place of their paths.
    func namingModels(_ inputs: InputDigests) -> Recipe {
        func hash(_ key: String) -> String? { inputs.inputs.first { $0.key == key }.map { "sha256:" + $0.sha256 } }
        var copy = self
        if let hash = hash("init.checkpoint") { copy.`init`?.checkpoint = hash }
        if copy.`init`?.parent != nil, let hash = hash("init.parent") { copy.`init`?.parent = hash }
        return copy
    }
}

extension PreparedRun {
    /// Whether `lineage` names this recipe, whatever has become of the models in it.
    ///
    /// Checkpoints from before inputs were recorded name models by their paths.
    func isRecipe(of lineage: Lineage) -> Bool {
        lineage.recipe == recipe.namingModels(lineage.inputs ?? inputs).resolvedJSON || lineage.recipe == recipeJSON
    }

    /// Throws where `checkpoint`, found in `directory`, comes from another recipe, other inputs or another tokenizer than this run.
    ///
    /// A checkpoint without a record of its inputs passes with a note that its training text is unknown.
    ///
    /// - Parameter force: whether changed inputs shall be accepted.
    /// - Returns: the changes that were accepted.
    @discardableResult
    func compare(_ checkpoint: Checkpoint, in directory: String, force: Bool = false, reporter: ProgressReporter) throws
        -> [InputDigests.Change]
    {
        guard isRecipe(of: checkpoint.lineage) else { throw TrainingError.otherRecipe(directory: directory) }
        let recorded = checkpoint.lineage.inputs.flatMap { $0.version == InputDigests.currentVersion ? $0 : nil }
        let changes = recorded.map { inputs.changes(since: $0) } ?? []
        guard changes.isEmpty || force else { throw TrainingError.changedInputs(directory: directory, changes) }
        guard checkpoint.tokenizer == tokenizer.serialized else { throw TrainingError.otherTokenizer(directory: directory) }
        if recorded == nil {
            reporter.line(
                "\(directory): written by a kvlab without a record of its inputs; whether the texts are the same is not known")
        }
        return recorded.map { inputs.withoutModelPaths.changes(since: $0) } ?? []
    }
}
