import Checkpoints
import Recipes
import Text

extension ChatTemplateRenderer {
    /// The template of a recipe's chats: the file that `data.chatTemplate` names, else that of the models the recipe starts from.
    ///
    /// Special tokens are those of the first model or, from scratch, of the tokenizer's file.
    init(_ recipe: Recipe) throws(ChatFault) {
        let paths = recipe.`init`.map { [$0.checkpoint] } ?? recipe.lab?.sweep?.parents ?? []
        var models: [LoadedModel] = []
        for path in paths {
            models.append(try Self.reading { try LoadedModel(path: path) })
        }
        let special: [String: String]
        if let model = models.first {
            special = model.specialTokens
        } else {
            special = try Self.specialTokens(recipe.tokenizer)
        }
        if let path = recipe.data.chatTemplate {
            try self.init(try Self.reading { try TextFile.read(path) }, specialTokens: special)
            return
        }
        guard let model = models.first else {
            throw ChatFault("needs a chat template: name its file with \"chatTemplate\" in 'data'")
        }
        for other in models.dropFirst() where other.tokenIDs.chatTemplate != model.tokenIDs.chatTemplate {
            throw ChatFault(
                "'\(model.name)' and '\(other.name)' would write differently: their chat templates differ; name one with "
                    + "\"chatTemplate\" in 'data'")
        }
        try self.init(of: model)
    }

    /// The template that came with `checkpoint`, read from `path`.
    public init(of checkpoint: Checkpoint, path: String) throws(ChatFault) {
        try self.init(of: try Self.reading { try LoadedModel(name: path, checkpoint: checkpoint, path: path) })
    }

    /// The template that `model` came with.
    init(of model: LoadedModel) throws(ChatFault) {
        guard let template = model.tokenIDs.chatTemplate else {
            throw ChatFault(
                "needs a chat template, and '\(model.name)' has none; a recipe names one with \"chatTemplate\" in 'data'")
        }
        try self.init(template, specialTokens: model.specialTokens)
    }

    private static func reading<Value>(_ read: () throws -> Value) throws(ChatFault) -> Value {
        do { return try read() } catch { throw ChatFault("needs a chat template, but \(error)") }
    }

    private static func specialTokens(_ recipe: TokenizerRecipe?) throws(ChatFault) -> [String: String] {
        guard recipe?.kind == .file, let path = recipe?.path else { return [:] }
        let tokenizer = try reading { try TokenizerFile.load(path) }
        let ids = [("bos_token", tokenizer.bosID), ("eos_token", tokenizer.eosID)]
        return ids.reduce(into: [:]) { names, token in
            names[token.0] = token.1.map { String(decoding: tokenizer.decode([$0]), as: UTF8.self) }
        }
    }
}
