import JSON

/// A request to /v1/kvlab/play, read and checked: /v1/completions' fields with a list `models` in place of `model`.
struct PlayRequest {
    /// One request for each model, in the order asked for.
    var completions: [CompletionRequest]

    /// Throws ``APIError`` for the first of the models that the fields don't fit.
    init(_ fields: RequestFields, server: ServerState, tenant: String) throws(APIError) {
        guard let list = fields.json["models"] else { throw .parameter("models", "is missing") }
        guard let names = list.array, !names.isEmpty, names.count <= server.models.count,
            names.allSatisfy({ $0.string != nil })
        else {
            throw .parameter("models", "is not a list of 1 to \(server.models.count) model ids")
        }
        completions = []
        for name in names {
            let completion = try CompletionRequest(
                RequestFields(fields, adding: "model", name), models: server.models, limits: server.options.limits,
                capacity: server.engine.capacity, tenant: tenant)
            guard completion.prompts.count == 1 else { throw .parameter("prompt", "is a list, expected one prompt") }
            guard completion.beams == nil, completion.bestOf == completion.sampling.n else {
                throw .parameter("best_of", "cannot be streamed")
            }
            completions.append(completion)
        }
    }
}

extension RequestFields {
    /// `fields` with one more.
    fileprivate init(_ fields: RequestFields, adding key: String, _ value: JSONValue) throws(APIError) {
        var members = (fields.json.members ?? []).filter { $0.name != key }
        members.append(JSONValue.Member(key, value))
        try self.init(JSONValue.object(members).compact)
    }
}
