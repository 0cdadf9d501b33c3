import Inference
import JSON

/// A request to /v1/kvlab/play, read and checked: the fields of /v1/completions with a list `models` in place of `model`, or those of
/// /v1/chat/completions with a list `chats` in place of `messages`, a chat for each model.
struct PlayRequest {
    /// One model's part.
    struct Item {
        /// The request of the prompt, or of the chat as the model's format has it.
        var request: GenerationRequest
        /// Tokens of the prompt and the outputs.
        var heldTokens: Int
    }

    /// One part for each model, in the order asked for.
    var items: [Item]

    /// Throws ``APIError`` for the first of the models that the fields don't fit.
    init(_ fields: RequestFields, server: ServerState, tenant: String) throws(APIError) {
        guard let list = fields.json["models"] else { throw .parameter("models", "is missing") }
        guard let names = list.array, !names.isEmpty, names.count <= server.models.count,
            names.allSatisfy({ $0.string != nil })
        else {
            throw .parameter("models", "is not a list of 1 to \(server.models.count) model ids")
        }
        items = []
        guard fields.json.has("chats") else {
            for name in names {
                items.append(try Item(completion: RequestFields(fields, with: [("model", name)]), server: server, tenant: tenant))
            }
            return
        }
        guard !fields.json.has("prompt") else { throw .parameter("chats", "stands in place of 'prompt'; send one of them") }
        guard let chats = fields.json["chats"]?.array, chats.count == names.count else {
            throw .parameter("chats", "is not a list of \(names.count) chats, one for each model")
        }
        for (name, chat) in zip(names, chats) {
            items.append(
                try Item(
                    chat: RequestFields(fields, with: [("model", name), ("messages", chat)]), server: server, tenant: tenant))
        }
    }
}

extension PlayRequest.Item {
    fileprivate init(completion fields: RequestFields, server: ServerState, tenant: String) throws(APIError) {
        let completion = try CompletionRequest(
            fields, models: server.models, limits: server.options.limits, capacity: server.engine.capacity, tenant: tenant)
        guard completion.prompts.count == 1 else { throw .parameter("prompt", "is a list, expected one prompt") }
        guard completion.beams == nil, completion.bestOf == completion.sampling.n else {
            throw .parameter("best_of", "cannot be streamed")
        }
        self.init(request: completion.requests[0], heldTokens: completion.heldTokens)
    }

    fileprivate init(chat fields: RequestFields, server: ServerState, tenant: String) throws(APIError) {
        let chat = try ChatRequest(
            fields, models: server.models, limits: server.options.limits, capacity: server.engine.capacity, tenant: tenant)
        self.init(request: chat.engineRequest, heldTokens: chat.heldTokens)
    }
}

extension RequestFields {
    /// `fields` with others in their place or besides.
    fileprivate init(_ fields: RequestFields, with others: [(key: String, value: JSONValue)]) throws(APIError) {
        var members = (fields.json.members ?? []).filter { member in !others.contains { $0.key == member.name } }
        members += others.map { JSONValue.Member($0.key, $0.value) }
        try self.init(JSONValue.object(members).compact)
    }
}
