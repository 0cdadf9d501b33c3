/// SentencePiece-style BPE from a `tokenizer.json`: spaces become "▁", by normalizers or a Metaspace; text starts as characters,
/// and adjacent symbols merge in the order learnt, across words where the vocabulary does.
///
/// Characters outside the vocabulary become byte tokens (`<0x0A>`) where it has them, else the unknown token. Ids equal those of
/// Hugging Face's `tokenizers`. `decode` strips what the file's decoder strips, usually one leading space, from each call's
/// result: for text in pieces use ``TokenStreamDecoder``.
public struct SentencePieceTokenizer: UTF8Tokenizer {
    public let vocabularySize: Int
    public let bosID: Int32?
    public let eosID: Int32?
    public let specialIDs: Set<Int32>
    public let serialized: SerializedTokenizer

    private let added: AddedTokens
    private let metaspace: Metaspace?
    private let cuts: WordCuts
    private let decoder: PieceDecoder
    private let bytes: TokenBytes
    private let symbols: CharacterSymbols
    private let merges: MergeTable

    init(_ file: TokenizerJSON, metaspace: Metaspace?, decoder: PieceDecoder) throws(TextError) {
        vocabularySize = file.vocabularySize
        (bosID, eosID, specialIDs) = (file.bosID, file.eosID, file.specialIDs)
        serialized = file.serialized
        self.metaspace = metaspace
        self.decoder = decoder
        if file.ignoresMerges {
            throw file.unsupported("model.ignore_merges without ByteLevel", "a whole text is no vocabulary entry")
        }
        merges = try file.mergeTable()
        added = AddedTokens(file.addedTokens, normalizers: file.normalizers)
        cuts = WordCuts(file, metaspace: metaspace)
        symbols = CharacterSymbols(
            file.vocabulary, hasByteFallback: file.hasByteFallback, unknown: try file.unknownToken())

        var tokens = [[UInt8]](repeating: [], count: file.vocabularySize)
        for (text, id) in file.vocabulary { tokens[Int(id)] = decoder.bytes(of: text) }
        for token in file.addedTokens { tokens[Int(token.id)] = decoder.bytes(of: token.content(file.normalizers)) }
        bytes = TokenBytes(tokens)
    }

    public func decode(_ ids: [Int32]) -> [UInt8] {
        guard decoder.dropsFirst, let first = ids.first else { return decoder.strip(bytes.join(ids)) }
        // A Metaspace decoder removes every mark from the first token.
        return decoder.strip(bytes[first].filter { $0 != 0x20 } + bytes.join(Array(ids.dropFirst())))
    }

    func encode(_ text: Span<UInt8>, workspace: inout EncodingWorkspace, into ids: inout [Int32]) {
        added.split(
            text,
            plain: { part, range, isFirst in
                guard let metaspace else { return encode(part, range, &workspace, &ids) }
                var bytes: [UInt8] = []
                bytes.reserveCapacity(range.count * 2)
                for index in range { bytes.append(part[index]) }
                let marked = metaspace.apply(bytes, isFirst: isFirst)
                encode(marked.span, 0..<marked.count, &workspace, &ids)
            }, token: { ids.append($0) })
    }

    private func encode(_ text: Span<UInt8>, _ range: Range<Int>, _ workspace: inout EncodingWorkspace, _ ids: inout [Int32]) {
        var start = range.lowerBound
        while start < range.upperBound {
            let end = cuts.wordEnd(in: text, start..<range.upperBound)
            if !workspace.appendKnown(text, start..<end, to: &ids) {
                workspace.merger.symbols.removeAll(keepingCapacity: true)
                symbols.append(text, start..<end, to: &workspace.merger.symbols)
                workspace.merger.merge(merges)
                ids += workspace.merger.symbols
                workspace.remember(text, start..<end)
            }
            start = end
        }
    }
}

/// The positions at which text with marks may be cut into words that merge separately.
///
/// Where no token has a mark behind another character, nothing merges across "e▁": cutting there changes no id and lets words be
/// cached. A Metaspace that splits cuts before every mark.
struct WordCuts: Sendable {
    private var mark: [UInt8]?
    private var cutsAtEveryMark = false

    init(_ file: TokenizerJSON, metaspace: Metaspace?) {
        if let metaspace, metaspace.splits {
            (mark, cutsAtEveryMark) = (metaspace.mark, true)
            return
        }
        var mark = metaspace?.mark
        for case .replace([0x20], let content) in file.normalizers { mark = content }
        // A mark from a later normalizer, or typed by the user, is the same mark as one that replaces a space.
        guard let mark, mark.count > 1, file.vocabulary[mark] != nil, mark.count == UTF8Scalar.length(mark[0]) else { return }
        let crosses = file.vocabulary.keys.contains { token in
            guard token.count > mark.count else { return false }
            var seenOther = false
            var index = 0
            while index < token.count {
                if token[index] == mark[0], token[index...].starts(with: mark) {
                    if seenOther { return true }
                    index += mark.count
                } else {
                    seenOther = true
                    index += 1
                }
            }
            return false
        }
        if !crosses { self.mark = mark }
    }

    /// The end of the word that starts with `range`.
    func wordEnd(in text: Span<UInt8>, _ range: Range<Int>) -> Int {
        guard let mark else { return range.upperBound }
        var index = range.lowerBound
        if !cutsAtEveryMark { while Self.isMark(mark, text, range, at: index) { index += mark.count } }
        index = max(index, range.lowerBound + 1)
        while index < range.upperBound, !Self.isMark(mark, text, range, at: index) { index += 1 }
        return index
    }

    @inline(__always)
    private static func isMark(_ mark: [UInt8], _ text: Span<UInt8>, _ range: Range<Int>, at index: Int) -> Bool {
        guard index + mark.count <= range.upperBound, text[index] == mark[0] else { return false }
        for offset in 1..<max(mark.count, 1) where text[index + offset] != mark[offset] { return false }
        return true
    }
}

/// The initial ids of single characters.
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
