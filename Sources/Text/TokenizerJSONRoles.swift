import JSON

// MARK: Begin- and end-of-text tokens

extension TokenizerJSON {
    /// Usual names of the end-of-text token, for files that name none.
    private static let endNames = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"]

    mutating func readRoles(_ root: JSONValue, _ model: JSONValue, config: JSONValue?) throws(TextError) {
        let template = try readTemplate(root["post_processor"])
        let own = (bos: try id(model["bos_token"]), eos: try id(model["eos_token"]))
        let adds = config?["add_bos_token"]?.bool == true
        let configured = (bos: adds ? try id(config?["bos_token"]) : nil, eos: try id(config?["eos_token"]))
        bosID = own.bos ?? template.bos ?? configured.bos
        eosID = own.eos ?? configured.eos ?? template.eos ?? usualEnd()
        // Ids known only from the config are stored in the model object, where `tokenizers` accepts a foreign key.
        let alone = (bos: own.bos ?? template.bos, eos: own.eos ?? template.eos ?? usualEnd())
        guard alone.bos != bosID || alone.eos != eosID else { return }
        var marked = model
        if let bosID, let name = name(bosID) { marked = marked.setting("bos_token", .string(name)) }
        if let eosID, let name = name(eosID) { marked = marked.setting("eos_token", .string(name)) }
        serialized.bytes = root.setting("model", marked).compact
    }

    private func usualEnd() -> Int32? {
        for name in Self.endNames {
            if let token = addedTokens.first(where: { $0.isSpecial && $0.content == Array(name.utf8) }) { return token.id }
        }
        return nil
    }

    private func name(_ id: Int32) -> [UInt8]? {
        addedTokens.first { $0.id == id }?.content ?? vocabulary.first { $0.value == id }?.key
    }

    /// The id of a token given as a string or as an object with a content; nil where none is given.
    private func id(_ value: JSONValue?) throws(TextError) -> Int32? {
        guard let value else { return nil }
        guard let content = value.bytes ?? value["content"]?.bytes else { throw malformed("a BOS or EOS token is no string") }
        return try id(content)
    }

    private func id(_ content: [UInt8]) throws(TextError) -> Int32 {
        if let token = addedTokens.first(where: { $0.content == content }) { return token.id }
        if let id = vocabulary[content] { return id }
        throw malformed("the token '\(Self.show(content))' is named as BOS or EOS, but not in the vocabulary")
    }

    /// The tokens that a post-processor adds before and after a text.
    private func readTemplate(_ value: JSONValue?) throws(TextError) -> (bos: Int32?, eos: Int32?) {
        guard let value else { return (nil, nil) }
        switch value["type"]?.string {
        case "ByteLevel": return (nil, nil)
        case "Sequence":
            var result: (bos: Int32?, eos: Int32?) = (nil, nil)
            for item in value["processors"]?.array ?? [] {
                let found = try readTemplate(item)
                result = (found.bos ?? result.bos, found.eos ?? result.eos)
            }
            return result
        case "TemplateProcessing":
            let parts = value["single"]?.array ?? []
            guard let middle = parts.firstIndex(where: { $0["Sequence"] != nil }), middle <= 1, parts.count - middle <= 2 else {
                throw unsupported("a TemplateProcessing with several tokens on a side", "one BOS and one EOS are implemented")
            }
            func special(_ part: JSONValue?) throws(TextError) -> Int32? {
                guard let name = part?["SpecialToken"]?["id"]?.bytes else { return nil }
                return try id(name)
            }
            let bos = middle == 1 ? try special(parts[0]) : nil
            let eos = parts.count > middle + 1 ? try special(parts[middle + 1]) : nil
            return (bos, eos)
        case let type:
            throw unsupported(
                "post_processor \(type ?? "without a type")", "only ByteLevel and TemplateProcessing are implemented")
        }
    }
}
