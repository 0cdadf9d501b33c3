import Hummingbird
import JSON

extension Route {
    /// The tokens of a text.
    static let tokenize = post("/tokenize") { server, fields, _ in
        let index = try server.index(ofModel: try fields.string("model"))
        let model = server.models[index]
        guard let text = try fields.string("prompt") else { throw APIError.parameter("prompt", "is missing") }
        // Longer than a prompt: a client that scores a document in pieces asks for its tokens first.
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

    /// The text of tokens.
    static let detokenize = post("/detokenize") { server, fields, _ in
        let tokenizer = server.models[try server.index(ofModel: try fields.string("model"))].tokenizer
        guard let ids = try fields.ids("tokens", limit: 1 << 20) else { throw APIError.parameter("tokens", "is missing") }
        guard ids.allSatisfy({ $0 >= 0 && Int($0) < tokenizer.vocabularySize }) else {
            throw APIError.parameter("tokens", "has ids outside 0 to \(tokenizer.vocabularySize - 1)")
        }
        let text = try await LongWork.run(bytes: ids.count * 4) { String(decoding: tokenizer.decode(ids), as: UTF8.self) }
        return .json(.object(["prompt": .text(text)]))
    }

    /// A tokenizer's kind, size and special tokens.
    static let tokenizerInfo = get("/tokenizer_info") { server, request, _ in
        let model = server.models[try server.index(ofModel: request.uri.queryParameters["model"].map(String.init))]
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
