import Foundation
import Hummingbird
import Inference
import JSON

/// What is there, what it holds, and its tokenizers.
struct StatusRoutes {
    let server: ServerState

    func models() -> Response {
        let list = server.models.enumerated().map { index, model -> JSONValue in
            .object([
                "id": .text(model.id), "object": .text("model"), "created": .int(server.started), "owned_by": .text("kvlab"),
                "max_model_len": .int(server.engine.capacity(of: index)), "attention": .text(model.attention),
            ])
        }
        return .json(.object(["object": .text("list"), "data": .array(list)]))
    }

    /// Who holds which pages; the map has a letter a page: a … for the models, upper case where it is shared, . where it is free.
    func pool() async -> Response {
        let (pool, statistics) = (await server.engine.pool(), await server.engine.statistics)
        let map = zip(pool.owners, pool.holders).map { owner, holders -> UInt8 in
            owner < 0 ? UInt8(ascii: ".") : (holders > 1 ? UInt8(ascii: "A") : UInt8(ascii: "a")) + UInt8(owner % 26)
        }
        let models = server.models.enumerated().map { index, model -> JSONValue in
            .object([
                "id": .text(model.id), "attention": .text(model.attention), "bytes_per_token": .int(pool.bytesPerToken[index]),
                "pages": .int(pool.used[index]), "guaranteed_pages": .int(pool.guaranteed[index]),
                "idle_prefix_pages": .int(pool.idle[index]),
            ])
        }
        let sequences = pool.sequences.map { holder -> JSONValue in
            .object([
                "request": .int(holder.request), "output": .int(holder.index), "model": .text(server.models[holder.model].id),
                "tokens": .int(holder.tokens), "pages": .int(holder.pages), "shared_pages": .int(holder.shared),
                "logical_bytes": .int(holder.logicalBytes), "allocated_bytes": .int(holder.pages * pool.pageBytes),
            ])
        }
        return .json(
            .object([
                "page_bytes": .int(pool.pageBytes), "pages": .int(pool.owners.count), "free_pages": .int(statistics.freePages),
                "running": .int(statistics.running), "waiting": .int(statistics.waiting), "models": .array(models),
                "sequences": .array(sequences), "map": .string(map),
            ]))
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
            throw APIError.parameter("prompt", "has \(text.utf8.count) bytes, at most \(limit) are tokenized at once")
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
