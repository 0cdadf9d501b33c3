import JSON

/// The content of a Hugging Face `tokenizer.json`, as far as it affects the ids.
///
/// Supported are BPE models: byte-level with the patterns of GPT-2, Llama 3 and Qwen, or SentencePiece-style. Any other feature
/// that would change the ids is rejected by name, never ignored.
struct TokenizerJSON {
    /// The pre-tokenization of text into the model's symbols.
    enum Style: Equatable {
        case byteLevel([SplitterStage])
        case sentencePiece(Metaspace?, PieceDecoder)
    }

    struct Merge: Equatable {
        var left: Int32
        var right: Int32
        var id: Int32
    }

    /// The file's name in errors.
    let file: String
    private(set) var style = Style.byteLevel([])
    private(set) var normalizers: [Normalizer] = []
    private(set) var vocabulary: [[UInt8]: Int32] = [:]
    private(set) var merges: [Merge] = []
    private(set) var addedTokens: [AddedToken] = []
    /// The added tokens that are special, BOS and EOS among them.
    var specialIDs: Set<Int32> { Set(addedTokens.filter(\.isSpecial).map(\.id) + [bosID, eosID].compactMap { $0 }) }
    private(set) var vocabularySize = 0
    private(set) var hasByteFallback = false
    private(set) var ignoresMerges = false
    var bosID: Int32?
    var eosID: Int32?
    var serialized: SerializedTokenizer
    private(set) var unknownName: [UInt8]?
    private(set) var fusesUnknown = false

    /// The largest id accepted; a larger one means a damaged file.
    private static let maximumID = 4_000_000

    /// Reads a `tokenizer.json`.
    ///
    /// - Parameters:
    ///   - file: the file's name in errors.
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
        normalizers = try readNormalizers(root["normalizer"])
        style = try readStyle(root)
        try readRoles(root, model, config: config)
    }

    /// Parses JSON, with the place in errors.
    static func parse(_ bytes: [UInt8], file: String) throws(TextError) -> JSONValue {
        if let offset = UTF8Check.firstInvalid(in: bytes.span) { throw .invalidUTF8(path: file, offset: offset) }
        do throws(JSONError) { return try JSONValue(parsing: bytes, nodes: min(4_000_000, bytes.count / 3 + 1000)) } catch {
            let (line, column) = error.position(in: bytes)
            throw .malformedJSON(file: file, line: line, column: column, reason: error.reason)
        }
    }

    func malformed(_ reason: String) -> TextError { .malformedTokenizer(file: file, reason: reason) }

    func unsupported(_ feature: String, _ reason: String) -> TextError {
        .unsupportedTokenizer(file: file, feature: feature, reason: reason)
    }

    /// The merge table.
    func mergeTable() throws(TextError) -> MergeTable {
        var table = MergeTable(capacity: merges.count)
        for (rank, merge) in merges.enumerated() {
            table.add(merge.left, merge.right, rank: Int32(rank), id: merge.id)
        }
        return table
    }

    /// The unknown token, if any.
    func unknownToken() throws(TextError) -> UnknownToken? {
        guard let unknownName else { return nil }
        guard let id = vocabulary[unknownName] else {
            throw malformed("the unknown token '\(Self.show(unknownName))' is not in the vocabulary")
        }
        return UnknownToken(id: id, isFused: fusesUnknown)
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
            if let known = vocabulary[content], known != id {
                throw malformed("'\(Self.show(content))' has id \(known) in model.vocab and \(id) in added_tokens")
            }
            addedTokens.append(
                AddedToken(
                    id: Int32(id), content: content, isNormalized: item["normalized"]?.bool ?? false,
                    isSpecial: item["special"]?.bool ?? false, isSingleWord: item["single_word"]?.bool ?? false,
                    stripsLeft: item["lstrip"]?.bool ?? false, stripsRight: item["rstrip"]?.bool ?? false))
            vocabularySize = max(vocabularySize, id + 1)
        }
    }
}
