/// SentencePiece-style BPE from a `tokenizer.json`: spaces become "▁", the whole text starts as characters, and
/// neighbours merge in the order learnt, across words where the vocabulary does.
///
/// Characters the vocabulary lacks become byte tokens (`<0x0A>`) where it has them, else the unknown token. Ids equal
/// those of Hugging Face's `tokenizers`. `decode` strips what the file's decoder strips, usually one leading space, from
/// each call's result: for text in pieces use ``TokenStreamDecoder``.
public struct SentencePieceTokenizer: UTF8Tokenizer {
    public let vocabularySize: Int
    public let bosID: Int32?
    public let eosID: Int32?
    public let serialized: SerializedTokenizer

    private let normalizers: [Normalizer]
    private let decoder: PieceDecoder
    private let bytes: TokenBytes
    private let symbols: CharacterSymbols
    private let merges: MergeTable
    private let rawAdded: AddedTokenMatcher
    private let normalizedAdded: AddedTokenMatcher

    init(_ file: TokenizerJSON, normalizers: [Normalizer], decoder: PieceDecoder) throws(TextError) {
        vocabularySize = file.vocabularySize
        (bosID, eosID) = (file.bosID, file.eosID)
        serialized = file.serialized
        self.normalizers = normalizers
        self.decoder = decoder
        if file.ignoresMerges {
            throw file.unsupported("model.ignore_merges without ByteLevel", "a whole text is no vocabulary entry")
        }
        merges = try file.mergeTable()
        rawAdded = file.rawMatcher
        normalizedAdded = file.normalizedMatcher { Self.normalize($0, normalizers) }
        symbols = CharacterSymbols(
            file.vocabulary, hasByteFallback: file.hasByteFallback, unknown: try file.unknownToken())

        var tokens = [[UInt8]](repeating: [], count: file.vocabularySize)
        for (text, id) in file.vocabulary { tokens[Int(id)] = decoder.bytes(of: text) }
        for token in file.addedTokens { tokens[Int(token.id)] = decoder.bytes(of: token.content) }
        var bytes = TokenBytes()
        for token in tokens { bytes.append(token) }
        self.bytes = bytes
    }

    public func decode(_ ids: [Int32]) -> [UInt8] {
        decoder.strip(bytes.join(ids))
    }

    func encode(_ text: Span<UInt8>, workspace: inout EncodingWorkspace, into ids: inout [Int32]) {
        var start = 0
        while let match = rawAdded.firstMatch(in: text, start..<text.count) {
            encode(text, start..<match.range.lowerBound, &workspace, &ids)
            ids.append(match.id)
            start = match.range.upperBound
        }
        encode(text, start..<text.count, &workspace, &ids)
    }

    /// Encodes text without the tokens that are looked for before normalisation.
    private func encode(_ text: Span<UInt8>, _ range: Range<Int>, _ workspace: inout EncodingWorkspace, _ ids: inout [Int32]) {
        var raw: [UInt8] = []
        raw.reserveCapacity(range.count)
        for index in range { raw.append(text[index]) }
        let normalized = Self.normalize(raw, normalizers)
        var start = 0
        while let match = normalizedAdded.firstMatch(in: normalized.span, start..<normalized.count) {
            mergePlain(normalized, start..<match.range.lowerBound, &workspace.merger, &ids)
            ids.append(match.id)
            start = match.range.upperBound
        }
        mergePlain(normalized, start..<normalized.count, &workspace.merger, &ids)
    }

    private func mergePlain(_ text: [UInt8], _ range: Range<Int>, _ merger: inout Merger, _ ids: inout [Int32]) {
        guard !range.isEmpty else { return }
        merger.symbols.removeAll(keepingCapacity: true)
        symbols.append(text.span, range, to: &merger.symbols)
        merger.merge(merges)
        ids += merger.symbols
    }

    private static func normalize(_ text: [UInt8], _ normalizers: [Normalizer]) -> [UInt8] {
        normalizers.reduce(text) { $1.apply($0) }
    }
}

/// The ids that single characters start as.
struct CharacterSymbols: Sendable {
    private var ids = PairTable()
    private let byteIDs: [Int32]
    private let unknown: UnknownToken?

    init(_ vocabulary: [[UInt8]: Int32], hasByteFallback: Bool, unknown: UnknownToken?) {
        for (text, id) in vocabulary where !text.isEmpty && text.count == UTF8Scalar.length(text[0]) {
            ids.set(UInt64(UTF8Scalar.decode(text.span, at: 0).scalar), UInt64(id))
        }
        byteIDs = (0...255).map { hasByteFallback ? vocabulary[ByteName.of($0)] ?? -1 : -1 }
        self.unknown = unknown
    }

    /// Appends the ids of the characters of `text[range]`.
    func append(_ text: Span<UInt8>, _ range: Range<Int>, to symbols: inout [Int32]) {
        var unknownRun = UnknownRun(unknown)
        var index = range.lowerBound
        while index < range.upperBound {
            let (scalar, length) = UTF8Scalar.decode(text, at: index)
            if let id = ids.value(UInt64(scalar)) {
                unknownRun.flush(into: &symbols)
                symbols.append(Int32(id))
            } else if hasAllBytes(text, index..<index + length) {
                // As in `tokenizers`, a pending unknown token waits until after them.
                for offset in index..<index + length { symbols.append(byteIDs[Int(text[offset])]) }
            } else {
                unknownRun.add(into: &symbols)
            }
            index += length
        }
        unknownRun.flush(into: &symbols)
    }

    private func hasAllBytes(_ text: Span<UInt8>, _ range: Range<Int>) -> Bool {
        for index in range where byteIDs[Int(text[index])] < 0 { return false }
        return true
    }
}
