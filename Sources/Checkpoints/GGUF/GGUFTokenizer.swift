import Text

/// The keys `tokenizer.ggml.*` of a vocabulary.
enum GGUFTokenizer {
    private static let prefix = "tokenizer.ggml."

    /// The file's tokenizer; nil without one.
    static func read(_ metadata: GGUFMetadata) throws(ImportError) -> GGUFVocabulary? {
        guard metadata.has(prefix + "model"), try metadata.string(prefix + "model") != "none" else { return nil }
        let model = try metadata.string(prefix + "model")
        guard let tokens = try metadata.list(prefix + "tokens", of: "strings", { $0.bytes }) else {
            throw .wrongValue(path: metadata.path, key: prefix + "tokens", found: nil, expected: "the tokens")
        }
        let types = try metadata.list(prefix + "token_type", of: "token types") { value -> GGUFVocabulary.TokenType? in
            value.int.flatMap { Int32(exactly: $0) }.flatMap { GGUFVocabulary.TokenType(rawValue: $0) }
        }
        var vocabulary = GGUFVocabulary(
            model: model, pre: metadata.has(prefix + "pre") ? try metadata.string(prefix + "pre") : nil, tokens: tokens,
            types: types ?? tokens.map { _ in .normal })
        vocabulary.scores = try metadata.list(prefix + "scores", of: "numbers") { $0.double.map { Float($0) } } ?? []
        vocabulary.merges = try metadata.list(prefix + "merges", of: "strings", { $0.bytes }) ?? []
        vocabulary.bos = try metadata.tokenID(prefix + "bos_token_id", limit: tokens.count)
        vocabulary.eos = try metadata.tokenID(prefix + "eos_token_id", limit: tokens.count)
        vocabulary.unknown = try metadata.tokenID(prefix + "unknown_token_id", limit: tokens.count)
        vocabulary.padding = try metadata.tokenID(prefix + "padding_token_id", limit: tokens.count)
        // llama.cpp's default for an absent key.
        vocabulary.addsBOS = try metadata.flag(
            prefix + "add_bos_token", default: model == "llama" || vocabulary.pre == "llama-bpe")
        vocabulary.addsSpacePrefix = try metadata.flag(prefix + "add_space_prefix", default: true)
        return vocabulary
    }

    /// The metadata of `vocabulary`.
    static func metadata(_ vocabulary: GGUFVocabulary) -> [GGUFKey] {
        var keys: [GGUFKey] = [(prefix + "model", .string(vocabulary.model))]
        if let pre = vocabulary.pre ?? (vocabulary.model == "llama" ? "default" : nil) {
            keys.append((prefix + "pre", .string(pre)))
        }
        keys.append((prefix + "tokens", .strings(vocabulary.tokens)))
        if !vocabulary.scores.isEmpty { keys.append((prefix + "scores", .floats(vocabulary.scores))) }
        keys.append((prefix + "token_type", .int32s(vocabulary.types.map(\.rawValue))))
        if !vocabulary.merges.isEmpty { keys.append((prefix + "merges", .strings(vocabulary.merges))) }
        for (name, id) in [
            ("bos", vocabulary.bos), ("eos", vocabulary.eos), ("unknown", vocabulary.unknown), ("padding", vocabulary.padding),
        ] {
            if let id { keys.append((prefix + name + "_token_id", .uint32(Int(id)))) }
        }
        keys.append((prefix + "add_bos_token", .bool(vocabulary.addsBOS)))
        if vocabulary.model == "llama" { keys.append((prefix + "add_space_prefix", .bool(vocabulary.addsSpacePrefix))) }
        return keys
    }
}
