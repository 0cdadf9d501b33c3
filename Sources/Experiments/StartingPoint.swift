import Checkpoints
import Conversion
import Models
import Recipes
import Text

/// The origin of a run's weights: fresh ones, or a checkpoint, converted on the way if the recipe says so.
struct StartingPoint {
    var config: ModelConfig
    var parameters: Parameters
    var tokenizer: (any Tokenizer)?
    var tokenIDs = TokenIDs()
    var lineage = Lineage()
    /// The checkpoint's model as it was before any conversion, or the one the recipe names as its parent; nil for fresh weights.
    private(set) var parent: (config: ModelConfig, parameters: Parameters)?
    /// The models that were read, by the recipe's keys.
    private(set) var inputs: [InputDigests.Input] = []
    private var path = ""

    /// Fresh weights of the recipe's model for text of `tokenizer`.
    init(_ recipe: Recipe, _ tokenizer: any Tokenizer) throws {
        guard let model = recipe.model else { throw ExperimentError.recipe(key: "model", reason: "is missing") }
        config = try model.config(vocabularySize: tokenizer.vocabularySize)
        parameters = .initialized(for: config, model.initialization, seed: UInt64(recipe.seed))
        path = recipe.name
    }

    /// The checkpoint that `section` names, converted if it says so; `training` is the recipe's text.
    init(_ section: InitRecipe, training: Corpus) throws {
        path = section.checkpoint
        var checkpoint = try ModelImport.load(path)
        let parentHash = checkpoint.lineage.contentHash
        parent = (checkpoint.config, checkpoint.parameters)
        inputs.append(InputDigests.Input(key: "init.checkpoint", model: path, contentHash: try checkpoint.identity()))
        if let path = section.parent {
            let model = try ModelImport.load(path)
            inputs.append(InputDigests.Input(key: "init.parent", model: path, contentHash: try model.identity()))
            guard model.config.vocabularySize == checkpoint.config.vocabularySize else {
                throw ExperimentError.recipe(
                    key: "init.parent",
                    reason:
                        "has \(model.config.vocabularySize) tokens in its vocabulary, the checkpoint \(checkpoint.config.vocabularySize)"
                )
            }
            parent = (model.config, model.parameters)
        }
        if let convert = section.convert {
            let parent = try LoadedModel(name: path, checkpoint: checkpoint, path: path)
            checkpoint = try checkpoint.converted(by: convert.converter(parent, training: training)).0
        } else {
            checkpoint.lineage.conversion = nil
        }
        config = checkpoint.config
        parameters = checkpoint.parameters
        tokenIDs = checkpoint.tokenIDs
        guard let serialized = checkpoint.tokenizer else { throw ExperimentError.noTokenizer(path) }
        tokenizer = try TokenizerFile.load(serialized, name: path)
        lineage = checkpoint.lineage
        lineage.parentHash = parentHash
        lineage.contentHash = nil
        lineage.figures = nil
    }

    /// The steps, batch, sequence and schedule of a run from here: those of the uptraining, else the recipe's own.
    func basis(_ recipe: Recipe) throws -> TrainingBasis {
        guard let uptrain = recipe.uptrain else {
            var basis = TrainingBasis(recipe.train)
            basis.nextSample = lineage.training?.nextSample ?? 0
            return basis
        }
        return try TrainingBasis(uptraining: lineage.training, uptrain, recipe.train, of: path)
    }
}
