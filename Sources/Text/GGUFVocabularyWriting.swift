// MARK: To GGUF

extension GGUFVocabulary {
    /// The GGUF form of `tokenizer`, padded with unused tokens to `vocabularySize`.
    ///
    /// Throws ``TextError`` where no GGUF form gives the same ids.
    public init(_ tokenizer: SerializedTokenizer, vocabularySize: Int) throws(TextError) {
        switch tokenizer.kind {
        case "llama2.c": try self.init(llama2c: tokenizer.bytes)
        case "tokenizer.json":
            let file = try TokenizerJSON(tokenizer.bytes, file: "the tokenizer")
            switch file.style {
            case .byteLevel(let stages): try self.init(byteLevel: file, stages)
            case .sentencePiece(let metaspace, _): try self.init(sentencePiece: file, metaspace)
            }
            (bos, eos, addsBOS) = (file.bosID, file.eosID, file.bosID != nil)
        default:
            throw .unsupportedTokenizer(
                file: "the tokenizer", feature: "kind '\(tokenizer.kind)'", reason: "GGUF has no such kind")
        }
        guard tokens.count <= vocabularySize else {
            throw .malformedTokenizer(
                file: "the tokenizer", reason: "it has \(tokens.count) tokens, the model has room for \(vocabularySize)")
        }
        for id in tokens.count..<vocabularySize {
            tokens.append(Array("[PAD\(id)]".utf8))
            types.append(.unused)
            if model == "llama" { scores.append(-10_000) }
        }
    }

    private static func unsupported(_ feature: String) -> TextError {
        .unsupportedTokenizer(file: "the tokenizer", feature: feature, reason: "GGUF cannot say it")
    }

    private init(byteLevel file: TokenizerJSON, _ stages: [SplitterStage]) throws(TextError) {
        guard !stages.contains(where: \.addsPrefixSpace) else { throw Self.unsupported("a prefix space") }
        // Qwen's files normalise to NFC, which llama.cpp leaves to the user.
        guard file.normalizers.allSatisfy({ $0 == .unicode(.nfc) }) else { throw Self.unsupported("its normalizer") }
        let splitters = stages.map(\.splitter)
        let candidates = Self.preTokenizers.filter { $0.splitters == splitters }
        guard let pre = candidates.first(where: { $0.ignoresMerges == file.ignoresMerges }) else {
            throw Self.unsupported(candidates.isEmpty ? "the way it cuts text" : "model.ignore_merges \(file.ignoresMerges)")
        }
        self.init(model: "gpt2", pre: pre.name, file)
        let byID = tokens
        merges = file.merges.map { byID[Int($0.left)] + [0x20] + byID[Int($0.right)] }
    }

    private init(sentencePiece file: TokenizerJSON, _ metaspace: Metaspace?) throws(TextError) {
        let replace = Normalizer.replace([0x20], with: Self.mark)
        let prefix: Bool
        switch (metaspace, file.normalizers) {
        case (nil, [.prepend(Self.mark), replace]): prefix = true
        case (nil, [replace]): prefix = false
        case (let metaspace?, []) where metaspace.mark == Self.mark && !metaspace.splits: prefix = metaspace.prepend != .never
        default: throw Self.unsupported("its normalizer or pre_tokenizer")
        }
        guard file.hasByteFallback else { throw Self.unsupported("the absence of byte fallback") }
        self.init(model: "llama", file)
        addsSpacePrefix = prefix
        unknown = file.unknownName.flatMap { file.vocabulary[$0] }
        if let unknown { types[Int(unknown)] = .unknown }
        for id in tokens.indices where types[id] == .normal && ByteName.parse(tokens[id]) != nil { types[id] = .byte }
        // A score ranks a token whichever way it is split: so all its merges must be adjacent.
        var cuts = [Int](repeating: 0, count: tokens.count)
        var group: Int32?
        var groups = 0
        scores = [Float](repeating: 0, count: tokens.count)
        for merge in file.merges {
            if merge.id != group {
                guard cuts[Int(merge.id)] == 0 else { throw Self.unsupported("an order of merges that follows no scores") }
                group = merge.id
                groups += 1
                scores[Int(merge.id)] = -Float(groups)
            }
            cuts[Int(merge.id)] += 1
        }
        for id in tokens.indices where types[id] == .normal {
            guard Self.cuts(of: tokens[id], file.vocabulary).count == cuts[id] else {
                throw Self.unsupported("a token that merges from some of its parts only ('\(TokenizerJSON.show(tokens[id]))')")
            }
            if cuts[id] == 0 { scores[id] = -Float(groups + 1 + id) }
        }
    }

    /// Tokens and their types.
    private init(model: String, pre: String? = nil, _ file: TokenizerJSON) {
        var tokens = [[UInt8]?](repeating: nil, count: file.vocabularySize)
        var types = [TokenType](repeating: .normal, count: file.vocabularySize)
        for (text, id) in file.vocabulary { tokens[Int(id)] = text }
        for token in file.addedTokens {
            tokens[Int(token.id)] = token.content
            types[Int(token.id)] = token.isSpecial ? .control : .userDefined
        }
        for id in tokens.indices where tokens[id] == nil { types[id] = .unused }
        self.init(model: model, pre: pre, tokens: tokens.enumerated().map { $1 ?? Array("[PAD\($0)]".utf8) }, types: types)
    }

    private init(llama2c bytes: [UInt8]) throws(TextError) {
        let (pieces, scores) = try Llama2cTokenizer.read(bytes, file: "the tokenizer")
        let names = ["<unk>", "<s>", "</s>"].map { Array($0.utf8) }
        var seen: Set<[UInt8]> = []
        var tokens: [[UInt8]] = []
        var types: [TokenType] = []
        for (id, piece) in pieces.enumerated() {
            let text = id < 3 ? names[id] : piece.flatMap { $0 == 0x20 ? Self.mark : [$0] }
            guard seen.insert(text).inserted, UTF8Check.firstInvalid(in: text.span) == nil else {
                throw Self.unsupported("token \(id), which is another's twin or no UTF-8")
            }
            tokens.append(text)
            types.append(id == 0 ? .unknown : id < 3 ? .control : id < 259 ? .byte : .normal)
        }
        self.init(model: "llama", tokens: tokens, scores: scores, types: types)
        (bos, eos, unknown, addsBOS) = (1, 2, 0, true)
    }

    /// The content of llama2.c's `tokenizer.bin`; nil where the vocabulary does not have the layout it needs.
    public var llama2cBytes: [UInt8]? {
        guard model == "llama", addsSpacePrefix, bos == 1, eos == 2, tokens.count >= 259, scores.allSatisfy(\.isFinite),
            (0..<256).allSatisfy({ ByteName.parse(tokens[3 + $0]) == UInt8($0) })
        else { return nil }
        let pieces = tokens.map { token in Normalizer.replace(Self.mark, with: [0x20]).apply(token) }
        func word(_ value: UInt32) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (8 * $0)) } }
        var bytes = word(UInt32(pieces.map(\.count).max() ?? 1))
        for (piece, score) in zip(pieces, scores) { bytes += word(score.bitPattern) + word(UInt32(piece.count)) + piece }
        return bytes
    }
}
