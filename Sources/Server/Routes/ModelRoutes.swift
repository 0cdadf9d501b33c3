import Hummingbird
import JSON

extension Route {
    /// The models, with the longest context of each.
    static let models = get("/v1/models") { server, _, _ in
        .json(.object(["object": .text("list"), "data": .array(server.models.indices.map { server.entry($0) })]))
    }

    /// One model by its id, which may have slashes.
    static let model = get("/v1/models/**") { server, _, context in
        let id = context.parameters.getCatchAll().joined(separator: "/")
        return .json(server.entry(try server.index(ofModel: id.removingPercentEncoding ?? id)))
    }
}

extension ServerState {
    fileprivate func entry(_ index: Int) -> JSONValue {
        let model = models[index]
        return .object([
            "id": .text(model.id), "object": .text("model"), "created": .int(started), "owned_by": .text("kvlab"),
            "max_model_len": .int(engine.capacity(of: index)), "attention": .text(model.attention),
        ])
    }

    /// The place of the model called `name`, the first one's where no name is given.
    func index(ofModel name: String?) throws(APIError) -> Int {
        try name.map { name throws(APIError) in try models.index(named: name) } ?? 0
    }
}
