import JSON

/// The content of a Hugging Face `tokenizer.json`, as far as kvlab encodes by it.
///
/// Read are BPE models, byte-level with GPT-2's pattern or SentencePiece-style. Whatever else would change the ids is
/// refused by name, never ignored.
struct TokenizerJSON {
    /// How text becomes the model's symbols.
    enum Style: Equatable {
        case byteLevel(addsPrefixSpace: Bool)
        case sentencePiece(normalizers: [Normalizer], decoder: PieceDecoder)
    }

    struct Merge: Equatable {
        var left: Int32
        var right: Int32
        var id: Int32
    }

    /// What the file is called in errors.
    let file: String
    private(set) var style = Style.byteLevel(addsPrefixSpace: false)
    private(set) var vocabulary: [[UInt8]: Int32] = [:]
    private(set) var merges: [Merge] = []
    private(set) var addedTokens: [AddedToken] = []
    private(set) var vocabularySize = 0
    private(set) var hasByteFallback = false
    private(set) var ignoresMerges = false
    private(set) var bosID: Int32?
    private(set) var eosID: Int32?
    private(set) var serialized: SerializedTokenizer
    private var unknownName: [UInt8]?
    private var fusesUnknown = false

    /// Ids above this are a damaged file, not a vocabulary.
    private static let maximumID = 4_000_000

    /// Reads a `tokenizer.json`.
    ///
    /// - Parameters:
    ///   - file: what errors call it.
    ///   - config: the `tokenizer_config.json` beside it, which may name the BOS and EOS tokens.
    init(_ bytes: [UInt8], file: String, config: JSONValue? = nil) throws(TextError) {
        self.file = file
        serialized = SerializedTokenizer(kind: "tokenizer.json", bytes: bytes)
        let root = try Self.parse(bytes, file: file)
        guard root["model"]?.members != nil else { throw malformed("it has no model object") }
        try refuseUnsupported(root)
        let model = root["model"]!
        try readVocabulary(model)
        try readMerges(model)
        try readAddedTokens(root)
        style = try readStyle(root, model)
        try readRoles(root, model, config: config)
    }

    /// Any JSON file, with errors that say where.
    static func parse(_ bytes: [UInt8], file: String) throws(TextError) -> JSONValue {
        if let offset = UTF8Check.firstInvalid(in: bytes.span) { throw .invalidUTF8(path: file, offset: offset) }
        do throws(JSONError) { return try JSONValue(parsing: bytes, nodes: 20_000_000) } catch {
            let (line, column) = error.position(in: bytes)
            throw .malformedJSON(file: file, line: line, column: column, reason: error.reason)
        }
    }

    func malformed(_ reason: String) -> TextError { .malformedTokenizer(file: file, reason: reason) }

    func unsupported(_ feature: String, _ reason: String) -> TextError {
        .unsupportedTokenizer(file: file, feature: feature, reason: reason)
    }

    /// What decides between merges.
    func mergeTable() throws(TextError) -> MergeTable {
        var table = MergeTable(capacity: merges.count)
        for (rank, merge) in merges.enumerated() {
            table.add(merge.left, merge.right, rank: Int32(rank), id: merge.id)
        }
        return table
    }

    /// The token for what the vocabulary lacks.
    func unknownToken() throws(TextError) -> UnknownToken? {
        guard let unknownName else { return nil }
        guard let id = vocabulary[unknownName] else {
            throw malformed("the unknown token '\(Self.show(unknownName))' is not in the vocabulary")
        }
        return UnknownToken(id: id, isFused: fusesUnknown)
    }

    /// Matchers for the tokens looked for before normalisation, and for those after it; empty ones left out.
    func addedTokenMatchers(_ normalize: ([UInt8]) -> [UInt8]) -> [AddedTokenMatcher] {
        [rawMatcher, normalizedMatcher(normalize)].filter { !$0.isEmpty }
    }

    var rawMatcher: AddedTokenMatcher {
        AddedTokenMatcher(addedTokens.filter { !$0.isNormalized }.map { ($0.content, $0.id) })
    }

    func normalizedMatcher(_ normalize: ([UInt8]) -> [UInt8]) -> AddedTokenMatcher {
        AddedTokenMatcher(addedTokens.filter(\.isNormalized).map { (normalize($0.content), $0.id) })
    }

    static func show(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}

extension TokenizerJSON {
    private func refuseUnsupported(_ root: JSONValue) throws(TextError) {
        let model = root["model"]!
        let type = model["type"]?.string ?? (model["merges"] == nil ? "without a type" : "BPE")
        guard type == "BPE" else { throw unsupported("model \(type)", "only BPE is implemented") }
        if root["truncation"] != nil { throw unsupported("truncation", "ids would depend on it; set it to null") }
        if root["padding"] != nil { throw unsupported("padding", "ids would depend on it; set it to null") }
        if let dropout = model["dropout"], dropout.int != 0, dropout != .number("0.0") {
            throw unsupported("model.dropout", "it makes ids random; set it to null")
        }
        for key in ["continuing_subword_prefix", "end_of_word_suffix"] {
            if let value = model[key], value.bytes != [] {
                throw unsupported("model.\(key)", "only byte-level and SentencePiece-style BPE are implemented")
            }
        }
    }

    private mutating func readVocabulary(_ model: JSONValue) throws(TextError) {
        guard let members = model["vocab"]?.members else { throw malformed("model.vocab is not an object") }
        vocabulary.reserveCapacity(members.count)
        for member in members {
            guard let id = member.value.int, id >= 0, id <= Self.maximumID else {
                throw malformed("model.vocab: the id of '\(Self.show(member.key))' is not from 0 to \(Self.maximumID)")
            }
            vocabulary[member.key] = Int32(id)
            vocabularySize = max(vocabularySize, id + 1)
        }
        hasByteFallback = model["byte_fallback"]?.bool ?? false
        ignoresMerges = model["ignore_merges"]?.bool ?? false
        unknownName = model["unk_token"]?.bytes
        fusesUnknown = model["fuse_unk"]?.bool ?? false
    }

    private mutating func readMerges(_ model: JSONValue) throws(TextError) {
        guard let items = model["merges"]?.array else { throw malformed("model.merges is not an array") }
        merges.reserveCapacity(items.count)
        for (index, item) in items.enumerated() {
            let parts =
                item.array?.compactMap(\.bytes)
                ?? item.bytes?.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
            guard let parts, parts.count == 2, item.array?.count ?? 2 == 2 else {
                throw malformed("model.merges[\(index)] is neither a pair of strings nor two words in one")
            }
            guard let left = vocabulary[parts[0]], let right = vocabulary[parts[1]], let id = vocabulary[parts[0] + parts[1]]
            else {
                let names = "'\(Self.show(parts[0]))' and '\(Self.show(parts[1]))'"
                throw malformed("model.merges[\(index)]: \(names) or what they merge into is not in the vocabulary")
            }
            merges.append(Merge(left: left, right: right, id: id))
        }
    }

    private mutating func readAddedTokens(_ root: JSONValue) throws(TextError) {
        for (index, item) in (root["added_tokens"]?.array ?? []).enumerated() {
            guard let content = item["content"]?.bytes, let id = item["id"]?.int, id >= 0, id <= Self.maximumID else {
                throw malformed("added_tokens[\(index)] lacks a content or an id from 0 to \(Self.maximumID)")
            }
            for key in ["single_word", "lstrip", "rstrip"] where item[key]?.bool == true {
                throw unsupported("added_tokens[\(index)].\(key)", "added tokens match exactly what they spell")
            }
            if let known = vocabulary[content], known != id {
                throw malformed("'\(Self.show(content))' has id \(known) in model.vocab and \(id) in added_tokens")
            }
            addedTokens.append(
                AddedToken(
                    id: Int32(id), content: content, isNormalized: item["normalized"]?.bool ?? false,
                    isSpecial: item["special"]?.bool ?? false))
            vocabularySize = max(vocabularySize, id + 1)
        }
    }
}

// MARK: How text becomes symbols

extension TokenizerJSON {
    private func readStyle(_ root: JSONValue, _ model: JSONValue) throws(TextError) -> Style {
        guard let preTokenizer = root["pre_tokenizer"] else {
            let normalizers = try readNormalizers(root["normalizer"])
            return .sentencePiece(normalizers: normalizers, decoder: try readDecoder(root["decoder"]))
        }
        let type = preTokenizer["type"]?.string ?? "without a type"
        guard type == "ByteLevel" else {
            throw unsupported("pre_tokenizer \(type)", "only ByteLevel, or none, is implemented")
        }
        guard preTokenizer["use_regex"]?.bool ?? true else {
            throw unsupported("pre_tokenizer ByteLevel with use_regex false", "only GPT-2's own pattern is implemented")
        }
        if let normalizer = root["normalizer"] {
            throw unsupported("normalizer \(normalizer["type"]?.string ?? "")", "byte-level text is encoded as it is")
        }
        guard root["decoder"]?["type"]?.string == "ByteLevel" else {
            throw unsupported(
                "decoder \(root["decoder"]?["type"]?.string ?? "null")", "a ByteLevel pre_tokenizer needs ByteLevel")
        }
        if hasByteFallback { throw unsupported("model.byte_fallback with ByteLevel", "all bytes are in its alphabet already") }
        return .byteLevel(addsPrefixSpace: preTokenizer["add_prefix_space"]?.bool ?? true)
    }

    private func readNormalizers(_ value: JSONValue?) throws(TextError) -> [Normalizer] {
        guard let value else { return [] }
        switch value["type"]?.string {
        case "Sequence":
            var all: [Normalizer] = []
            for item in value["normalizers"]?.array ?? [] { all += try readNormalizers(item) }
            return all
        case "Prepend":
            guard let text = value["prepend"]?.bytes else { throw malformed("the normalizer Prepend lacks 'prepend'") }
            return [.prepend(text)]
        case "Replace":
            let (pattern, content) = try readReplace(value, of: "normalizer")
            return [.replace(pattern, with: content)]
        case let type:
            throw unsupported("normalizer \(type ?? "without a type")", "only Prepend and Replace are implemented")
        }
    }

    private func readReplace(_ value: JSONValue, of owner: String) throws(TextError) -> ([UInt8], [UInt8]) {
        if value["pattern"]?["Regex"] != nil {
            throw unsupported("\(owner) Replace with a Regex", "only a String pattern is implemented")
        }
        guard let pattern = value["pattern"]?["String"]?.bytes, !pattern.isEmpty, let content = value["content"]?.bytes else {
            throw malformed("the \(owner) Replace lacks a pattern or a content")
        }
        return (pattern, content)
    }

    private func readDecoder(_ value: JSONValue?) throws(TextError) -> PieceDecoder {
        guard let value else { throw unsupported("decoder null", "without one tokens would be joined by spaces") }
        let steps = value["type"]?.string == "Sequence" ? value["decoders"]?.array ?? [] : [value]
        var decoder = PieceDecoder()
        var isFused = false
        for step in steps {
            let type = step["type"]?.string ?? "without a type"
            switch type {
            case "Replace" where !isFused && !decoder.hasByteFallback:
                let (pattern, content) = try readReplace(step, of: "decoder")
                decoder.replacements.append(.replace(pattern, with: content))
            case "ByteFallback" where !isFused: decoder.hasByteFallback = true
            case "Fuse": isFused = true
            case "Strip" where isFused && decoder.strip == nil:
                guard let content = step["content"]?.bytes, content.count == 1, content[0] < 0x80,
                    let start = step["start"]?.int, let stop = step["stop"]?.int, start >= 0, stop >= 0
                else { throw malformed("the decoder Strip lacks an ASCII content, a start or a stop") }
                decoder.strip = PieceDecoder.Strip(byte: content[0], start: start, stop: stop)
            default:
                throw unsupported("decoder \(type)", "Replace, ByteFallback, Fuse, Strip, in this order, are implemented")
            }
        }
        guard isFused else { throw unsupported("a decoder without Fuse", "tokens would be joined by spaces") }
        return decoder
    }
}

// MARK: Which tokens begin and end a text

extension TokenizerJSON {
    /// End-of-text tokens by their usual names, for files that say nothing of it.
    private static let endNames = ["<|endoftext|>", "<|end_of_text|>", "</s>", "<eos>"]

    private mutating func readRoles(_ root: JSONValue, _ model: JSONValue, config: JSONValue?) throws(TextError) {
        let template = try readTemplate(root["post_processor"])
        let own = (bos: try id(model["bos_token"]), eos: try id(model["eos_token"]))
        let adds = config?["add_bos_token"]?.bool == true
        let configured = (bos: adds ? try id(config?["bos_token"]) : nil, eos: try id(config?["eos_token"]))
        bosID = own.bos ?? template.bos ?? configured.bos
        eosID = own.eos ?? configured.eos ?? template.eos ?? usualEnd()
        // What the config alone knew is kept in the model object, where `tokenizers` lets a foreign key pass.
        let alone = (bos: own.bos ?? template.bos, eos: own.eos ?? template.eos ?? usualEnd())
        guard alone.bos != bosID || alone.eos != eosID else { return }
        var marked = model
        if let bosID, let name = name(bosID) { marked = marked.setting("bos_token", .string(name)) }
        if let eosID, let name = name(eosID) { marked = marked.setting("eos_token", .string(name)) }
        var bytes: [UInt8] = []
        root.setting("model", marked).write(to: &bytes)
        serialized.bytes = bytes
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

    /// The id of a token given as a string, or as an object with a content; nil where none is given.
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

    /// The tokens that a post-processor puts before and after a text.
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
