import Evaluation
import Experiments
import Server

/// The policy of chat templates around prompts.
enum ChatPolicy: String {
    case auto, always, never
    /// The format in which the server writes chats, whatever the model.
    case served

    /// The templates that the policy asks for; nil for none at all.
    var evaluation: LongContextEvaluation.Chat? {
        let policy = self
        guard policy != .never else { return nil }
        return LongContextEvaluation.Chat(name: policy.rawValue) { model, name in
            if policy == .auto, model.tokenIDs.chatTemplate == nil { return nil }
            let format = try Self.format(model, name)
            guard policy == .served || !format.isPlain else {
                throw CommandFailure(
                    description: "\(name) has no chat template, and its tokenizer no known markers; use --chat never")
            }
            return Self.writer(format, name)
        }
    }

    private static func format(_ model: ServableModel, _ name: String) throws -> ChatFormat {
        do {
            return try ChatFormat(
                for: model.tokenizer, template: model.tokenIDs.chatTemplate, specialTokens: model.specialTokens)
        } catch { throw CommandFailure(description: "\(name): the chat template can't be read, \(error)") }
    }

    private static func writer(_ format: ChatFormat, _ name: String) -> ChatWriter {
        ChatWriter(stops: format.stops) { turns in
            do throws(APIError) {
                return try format.text(turns.map { ChatTemplate.Message(role: $0.role, content: $0.content) })
            } catch { throw CommandFailure(description: "\(name): the chat's \(error.message)") }
        }
    }
}
