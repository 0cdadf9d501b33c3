import Checkpoints
import Conversion
import Evaluation
import Foundation
import Inference
import Kernels
import Models
import Random
import Recipes
import Text
import Training

/// A recipe whose texts, tokenizer and checkpoints are read and checked: ready to run, nothing trained yet.
public struct PreparedRun: Sendable {
    /// The run's name.
    public let name: String
    /// The resolved recipe.
    public let recipe: Recipe
    /// The model's shape.
    public let config: ModelConfig
    /// Weights to start from.
    public let parameters: Parameters
    /// The training plan.
    public let plan: TrainingPlan
    /// The source of training batches.
    public let data: TrainingData
    /// The tokenizer.
    public let tokenizer: any Tokenizer
    /// Special tokens that the starting checkpoint names.
    public let tokenIDs: TokenIDs
    /// The lineage that the run's checkpoints continue: the parent's or none.
    public let lineage: Lineage
    /// The digests of the files read for the run.
    public let inputs: InputDigests
    /// Tokens in a sequence.
    public let sequenceLength: Int
    private let validationTokensPerByte: Double

    /// The resolved recipe as JSON.
    public var recipeJSON: String { recipe.resolvedJSON }

    /// Reads data, tokenizer and checkpoint; trains a tokenizer where the recipe asks for one.
    ///
    /// - Parameter corpus: the recipe's texts where they have been read before, so that several runs share one reading of them.
    public init(_ recipe: Recipe, corpus: Corpus? = nil, reporter: ProgressReporter) throws {
        self.recipe = recipe
        name = recipe.name
        let corpus = try corpus ?? Corpus(recipe)
        let (training, validation) = try corpus.split(recipe)
        let checkpoint = try recipe.`init`.map { try StartingPoint($0, training: training) }
        let tokenizer = try checkpoint?.tokenizer ?? Self.tokenizer(recipe, training, reporter)
        self.tokenizer = tokenizer
        let basis = try checkpoint?.basis(recipe) ?? TrainingBasis(recipe.train)
        sequenceLength = basis.seq
        let start = try checkpoint ?? StartingPoint(recipe, tokenizer)
        config = start.config
        parameters = start.parameters
        tokenIDs = start.tokenIDs
        guard basis.seq <= config.maxSequence else {
            throw ExperimentError.window(basis.seq, model: recipe.name, limit: config.maxSequence)
        }

        let texts = try RunTexts(recipe, training: training, validation: validation, tokenizer: tokenizer, reporter: reporter)
        try corpus.checkUnchanged()
        validationTokensPerByte = texts.validationTokensPerByte
        data = try texts.data(recipe, basis)
        var plan = basis.plan(recipe)
        if let uptrain = recipe.uptrain?.settings, let parent = start.parent {
            try Self.check(uptrain, parent.config, config)
            try plan.add(uptrain, parent: parent, data: data, reporter: reporter)
            if let through = uptrain.through {
                plan.cache = try CompressedTraining(
                    through, config, seq: basis.seq, packing: recipe.data.packing, tokenizer: tokenizer)
            }
        }
        self.plan = plan
        inputs = InputDigests(
            corpus.inputs + (try recipe.data.templateInput()) + (try recipe.tokenizer?.inputs() ?? []) + start.inputs)
        var lineage = start.lineage
        lineage.name = recipe.name
        lineage.recipe = recipe.namingModels(inputs).resolvedJSON
        lineage.inputs = inputs.withoutModelPaths
        lineage.toolVersion = Lineage.currentTool
        lineage.training = basis
        self.lineage = lineage
    }

    private static func tokenizer(_ recipe: Recipe, _ training: Corpus, _ reporter: ProgressReporter) throws -> any Tokenizer {
        guard let section = recipe.tokenizer else { throw ExperimentError.noTokenizer(recipe.name) }
        switch section.kind {
        case .byte: return ByteTokenizer()
        case .file: return try TokenizerFile.load(section.path ?? "")
        case .bpe:
            defer { reporter.clear() }
            return try BPETrainer.train(corpus: training, vocabularySize: section.vocabSize ?? 257) { progress in
                switch progress {
                case .reading(let done, let total): reporter.progress("tokenizer: reading \(100 * done / max(total, 1)) %")
                case .merging(let done, let total): reporter.progress("tokenizer: token \(done)/\(total)")
                }
            }
        }
    }

    /// Refuses distances between layers that the two models do not both have.
    private static func check(_ uptrain: UptrainSettings, _ parent: ModelConfig, _ child: ModelConfig) throws(ExperimentError) {
        guard let hidden = uptrain.distill?.hidden, hidden > 0 else { return }
        guard parent.layers != child.layers || parent.hiddenSize != child.hiddenSize else { return }
        throw .recipe(
            key: "uptrain.distill.hidden",
            reason: "the parent has \(parent.layers) layers of \(parent.hiddenSize), the model \(child.layers) of "
                + "\(child.hiddenSize): they have no layers in common; leave it out")
    }

    /// A held-out loss in nats per token as bits per byte.
    public func bitsPerByte(_ loss: Double) -> Double { loss / M_LN2 * validationTokensPerByte }

    /// The recipe's prompt continued by the model of `weights`, served: the same for the same step and weights.
    func sample(_ weights: Parameters, step: Int) throws -> String {
        let bos = tokenizer.bosID ?? tokenizer.eosID
        let prompt = tokenizer.encode(recipe.train.samplePrompt)
        let ids = (tokenizer.bosID.map { [$0] } ?? []) + (prompt.isEmpty ? bos.map { [$0] } ?? [0] : prompt)
        var random = SeededGenerator(seed: UInt64(recipe.seed), stream: 0x5A, UInt64(step))
        let generator = Generator(
            model: try ServingModel(config: config, parameters: weights), sampler: Sampler(temperature: 0.8, topK: 50),
            stops: Set(tokenizer.eosID.map { [$0] } ?? []))
        let drawn = generator.continuation(of: ids, count: recipe.train.sampleTokens, generator: &random)
        return String(decoding: tokenizer.decode(ids + drawn), as: UTF8.self)
    }
}
