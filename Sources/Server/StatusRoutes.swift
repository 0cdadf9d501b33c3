import Foundation
import Hummingbird
import Inference
import JSON

/// What is there, what it holds, and its tokenizers.
struct StatusRoutes {
    let server: ServerState

    func models() -> Response {
        .json(.object(["object": .text("list"), "data": .array(server.models.indices.map { entry($0) })]))
    }

    /// One model, by its id.
    func model(_ id: String) throws(APIError) -> Response {
        let model = try model(named: id.removingPercentEncoding ?? id)
        return .json(entry(server.models.firstIndex { $0.id == model.id } ?? 0))
    }

    private func entry(_ index: Int) -> JSONValue {
        let model = server.models[index]
        return .object([
            "id": .text(model.id), "object": .text("model"), "created": .int(server.started), "owned_by": .text("kvlab"),
            "max_model_len": .int(server.engine.capacity(of: index)), "attention": .text(model.attention),
        ])
    }

    /// Who holds which pages, as ``pool(cells:for:)`` at the resolution that the query's `cells` asks for, 2048 by default.
    func pool(_ request: Request, for caller: Caller) async throws(APIError) -> Response {
        guard let text = request.uri.queryParameters["cells"] else { return .json(await pool(for: caller)) }
        let most = 4096
        guard let cells = Int(text), (1...most).contains(cells) else {
            throw .parameter("cells", "is '\(text.prefix(40))', expected 1 to \(most)")
        }
        return .json(await pool(cells: cells, for: caller))
    }

    /// The pool as `caller` sees it: the pages of all tenants together, and of sequences, running or waiting, its own alone unless
    /// it sees everything.
    ///
    /// A page is free, used by one sequence, shared by several, or idle: held by no sequence, but kept for a prefix until pages
    /// are wanted. `models` and `sequences` count them for each holder. `map` tells where they lie: it cuts the pool into cells
    /// of `pages_per_cell` pages, and each of its `runs` is a number of cells that read alike, followed by one list for each
    /// model with pages in such a cell: its place in `models`, and the pages used, shared and idle. The rest of a cell is free.
    ///
    ///     {"pages_per_cell": 8, "runs": [[3, [0, 8, 0, 0]], [1, [0, 2, 0, 0], [1, 0, 4, 1]], [2044]]}
    func pool(cells: Int = 2048, for caller: Caller) async -> JSONValue {
        let map = await server.engine.poolMap(cells: cells, of: caller.seesAll ? nil : caller.tenant)
        let models = zip(server.models, map.models).enumerated().map { index, entry -> JSONValue in
            .object([
                "id": .text(entry.0.id), "attention": .text(entry.0.attention), "bytes_per_token": .int(map.bytesPerToken[index]),
                "pages": .int(entry.1.held), "guaranteed_pages": .int(map.guaranteed[index]), "used_pages": .int(entry.1.used),
                "shared_pages": .int(entry.1.shared), "idle_prefix_pages": .int(entry.1.idle),
            ])
        }
        let sequences = map.sequences.map { holder -> JSONValue in
            .object([
                "request": .int(holder.request), "output": .int(holder.index), "model": .text(server.models[holder.model].id),
                "tokens": .int(holder.tokens), "pages": .int(holder.pages), "shared_pages": .int(holder.shared),
                "logical_bytes": .int(holder.logicalBytes), "allocated_bytes": .int(holder.pages * map.pageBytes),
            ])
        }
        let runs = map.runs.map { run -> JSONValue in
            .array(
                [.int(run.cells)]
                    + run.held.sorted { $0.key < $1.key }.map { model, pages in
                        .array([.int(model), .int(pages.used), .int(pages.shared), .int(pages.idle)])
                    })
        }
        return .object([
            "page_bytes": .int(map.pageBytes), "pages": .int(map.pages), "free_pages": .int(map.free),
            "running": .int(map.sequences.count), "waiting": .int(map.waiting), "models": .array(models),
            "sequences": .array(sequences),
            "map": .object(["pages_per_cell": .int(map.pagesPerCell), "runs": .array(runs)]),
        ])
    }

    private func model(named name: String?) throws(APIError) -> ServedModel {
        guard let name else { return server.models[0] }
        guard let model = server.models.first(where: { $0.id == name }) else {
            throw APIError(
                .notFound, "the model '\(name.prefix(100))' does not exist", parameter: "model", code: "model_not_found")
        }
        return model
    }

    func tokenize(_ fields: RequestFields) async throws -> Response {
        let model = try model(named: try fields.string("model"))
        guard let text = try fields.string("prompt") else { throw APIError.parameter("prompt", "is missing") }
        let index = server.models.firstIndex { $0.id == model.id } ?? 0
        // Longer than a prompt: whoever scores a document in pieces asks for its tokens first.
        let limit = max(server.options.limits.textBytes, model.longestText(tokens: server.engine.capacity(of: index)))
        guard text.utf8.count <= limit else {
            throw APIError.parameter(
                "prompt", "has \(text.utf8.count) bytes, at most \(limit) are tokenized at once")
        }
        let special = try fields.bool("add_special_tokens") ?? true
        let ids = try await LongWork.run(bytes: text.utf8.count) { model.tokenized(text, special: special) }
        return .json(
            .object([
                "count": .int(ids.count), "max_model_len": .int(server.engine.capacity(of: index)),
                "tokens": .array(ids.map { .int(Int($0)) }),
            ]))
    }

    func detokenize(_ fields: RequestFields) async throws -> Response {
        let model = try model(named: try fields.string("model"))
        guard let ids = try fields.ids("tokens", limit: 1 << 20) else { throw APIError.parameter("tokens", "is missing") }
        guard ids.allSatisfy({ $0 >= 0 && Int($0) < model.tokenizer.vocabularySize }) else {
            throw APIError.parameter("tokens", "has ids outside 0 to \(model.tokenizer.vocabularySize - 1)")
        }
        let text = try await LongWork.run(bytes: ids.count * 4) { String(decoding: model.tokenizer.decode(ids), as: UTF8.self) }
        return .json(.object(["prompt": .text(text)]))
    }

    func tokenizerInfo(_ request: Request) throws(APIError) -> Response {
        let model = try model(named: request.uri.queryParameters["model"].map(String.init))
        func text(_ id: Int32?) -> JSONValue { id.map { .text(model.name(ofSpecial: $0)) } ?? .null }
        return .json(
            .object([
                "tokenizer_class": .text(model.tokenizer.serialized.kind), "vocab_size": .int(model.tokenizer.vocabularySize),
                "bos_token": text(model.bosID), "bos_token_id": model.bosID.map { .int(Int($0)) } ?? .null,
                "eos_token": text(model.eosIDs.first), "eos_token_id": model.eosIDs.first.map { .int(Int($0)) } ?? .null,
                "chat_template": .null,
            ]))
    }
}
