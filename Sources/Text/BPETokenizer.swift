/// Byte-level byte-pair encoding as GPT-2 does it: text is cut by its pattern, each piece starts as bytes, and
/// neighbours merge in the order learnt.
///
/// Made by ``BPETrainer`` or read from a `tokenizer.json`; ids equal those of Hugging Face's `tokenizers`. Added tokens,
/// such as `<|endoftext|>`, become their ids where the text spells them. Nothing is normalised, so `decode` gives back
/// any text exactly (where the file's options have no prefix space).
public struct BPETokenizer: UTF8Tokenizer {
    public let vocabularySize: Int
    public let bosID: Int32?
    public let eosID: Int32?
    public let serialized: SerializedTokenizer
    /// Merges that were learnt.
    public var mergeCount: Int { merges.count }

    private let pattern = GPT2Pattern()
    private let bytes: TokenBytes
    /// The id of each single byte; -1 where the vocabulary has none.
    private let byteIDs: [Int32]
    private let merges: MergeTable
    /// Tokens of whole words, where the file says that they need no merges.
    private let wholeWords: [[UInt8]: Int32]
    private let unknown: UnknownToken?
    private let added: [AddedTokenMatcher]
    private let addsPrefixSpace: Bool

    init(_ file: TokenizerJSON, addsPrefixSpace: Bool) throws(TextError) {
        vocabularySize = file.vocabularySize
        (bosID, eosID) = (file.bosID, file.eosID)
        serialized = file.serialized
        self.addsPrefixSpace = addsPrefixSpace
        merges = try file.mergeTable()
        unknown = try file.unknownToken()
        byteIDs = (0...255).map { file.vocabulary[ByteAlphabet.encode([$0])] ?? -1 }
        added = file.addedTokenMatchers { $0 }

        var tokens = [[UInt8]](repeating: [], count: file.vocabularySize)
        // Tokens with characters outside the alphabet stand for themselves, as in `tokenizers`.
        for (text, id) in file.vocabulary { tokens[Int(id)] = ByteAlphabet.decode(text) ?? text }
        for token in file.addedTokens { tokens[Int(token.id)] = ByteAlphabet.decode(token.content) ?? token.content }
        var bytes = TokenBytes()
        for token in tokens { bytes.append(token) }
        self.bytes = bytes

        var wholeWords: [[UInt8]: Int32] = [:]
        if file.ignoresMerges {
            for (text, id) in file.vocabulary { wholeWords[ByteAlphabet.decode(text) ?? text] = id }
        }
        self.wholeWords = wholeWords
    }

    public func decode(_ ids: [Int32]) -> [UInt8] {
        bytes.join(ids)
    }

    func encode(_ text: Span<UInt8>, workspace: inout EncodingWorkspace, into ids: inout [Int32]) {
        encode(text, 0..<text.count, stage: 0, &workspace, &ids)
    }

    /// Cuts `range` at the added tokens of `stage`, and what lies between at those of the next.
    private func encode(
        _ text: Span<UInt8>, _ range: Range<Int>, stage: Int, _ workspace: inout EncodingWorkspace, _ ids: inout [Int32]
    ) {
        guard stage < added.count else { return encodePlain(text, range, &workspace, &ids) }
        var start = range.lowerBound
        while let match = added[stage].firstMatch(in: text, start..<range.upperBound) {
            encode(text, start..<match.range.lowerBound, stage: stage + 1, &workspace, &ids)
            ids.append(match.id)
            start = match.range.upperBound
        }
        encode(text, start..<range.upperBound, stage: stage + 1, &workspace, &ids)
    }

    /// Encodes text without added tokens.
    private func encodePlain(
        _ text: Span<UInt8>, _ range: Range<Int>, _ workspace: inout EncodingWorkspace, _ ids: inout [Int32]
    ) {
        guard !range.isEmpty else { return }
        if addsPrefixSpace, text[range.lowerBound] != UInt8(ascii: " ") {
            var prefixed = [UInt8(ascii: " ")]
            for index in range { prefixed.append(text[index]) }
            encodePieces(prefixed.span, 0..<prefixed.count, &workspace, &ids)
        } else {
            encodePieces(text, range, &workspace, &ids)
        }
    }

    private func encodePieces(
        _ text: Span<UInt8>, _ range: Range<Int>, _ workspace: inout EncodingWorkspace, _ ids: inout [Int32]
    ) {
        // The pattern looks ahead, so what it sees must end where the range does.
        let part = text.extracting(range)
        var start = 0
        while start < part.count {
            let end = pattern.pieceEnd(in: part, from: start)
            if !workspace.appendKnown(part, start..<end, to: &ids) {
                mergePiece(part, start..<end, &workspace.merger)
                ids += workspace.merger.symbols
                workspace.remember(part, start..<end)
            }
            start = end
        }
    }

    /// Leaves the ids of one piece in `merger.symbols`.
    private func mergePiece(_ text: Span<UInt8>, _ range: Range<Int>, _ merger: inout Merger) {
        merger.symbols.removeAll(keepingCapacity: true)
        if !wholeWords.isEmpty {
            var word: [UInt8] = []
            for index in range { word.append(text[index]) }
            if let id = wholeWords[word] {
                merger.symbols.append(id)
                return
            }
        }
        var unknownRun = UnknownRun(unknown)
        for index in range {
            let id = byteIDs[Int(text[index])]
            if id >= 0 { unknownRun.flush(into: &merger.symbols) }
            id >= 0 ? merger.symbols.append(id) : unknownRun.add(into: &merger.symbols)
        }
        unknownRun.flush(into: &merger.symbols)
        merger.merge(merges)
    }

    func cut(_ text: Span<UInt8>, atOrAfter index: Int) -> Int? {
        guard !addsPrefixSpace, !added.contains(where: \.hasWhitespace) else { return nil }
        return GPT2Pattern.cut(text, atOrAfter: index)
    }
}
