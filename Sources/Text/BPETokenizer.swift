/// Byte-level byte-pair encoding as in GPT-2, Llama 3 and Qwen: a pattern cuts text into pieces, each piece starts as bytes, and
/// adjacent symbols merge in the order learnt.
///
/// Made by ``BPETrainer`` or read from a `tokenizer.json`; ids equal those of Hugging Face's `tokenizers`. Added tokens, such as
/// `<|endoftext|>`, match in the text. Where the file has no normalizer and no prefix space, `decode` restores any text exactly.
public struct BPETokenizer: UTF8Tokenizer {
    public let vocabularySize: Int
    public let bosID: Int32?
    public let eosID: Int32?
    public let specialIDs: Set<Int32>
    public let serialized: SerializedTokenizer

    private let bytes: TokenBytes
    /// The id of each single byte; -1 where the vocabulary has none.
    private let byteIDs: [Int32]
    private let merges: MergeTable
    /// Tokens of whole words, where the file's `ignore_merges` bypasses merging.
    private let wholeWords: [[UInt8]: Int32]
    private let unknown: UnknownToken?
    private let added: AddedTokens
    private let stages: [SplitterStage]

    init(_ file: TokenizerJSON, stages: [SplitterStage]) throws(TextError) {
        vocabularySize = file.vocabularySize
        (bosID, eosID, specialIDs) = (file.bosID, file.eosID, file.specialIDs)
        serialized = file.serialized
        self.stages = stages
        merges = try file.mergeTable()
        unknown = try file.unknownToken()
        byteIDs = (0...255).map { file.vocabulary[ByteAlphabet.encode([$0])] ?? -1 }
        added = AddedTokens(file.addedTokens, normalizers: file.normalizers)

        var tokens = [[UInt8]](repeating: [], count: file.vocabularySize)
        // Tokens with characters outside the alphabet stand for themselves, as in `tokenizers`.
        for (text, id) in file.vocabulary { tokens[Int(id)] = ByteAlphabet.decode(text) ?? text }
        for token in file.addedTokens { tokens[Int(token.id)] = ByteAlphabet.decode(token.content) ?? token.content }
        bytes = TokenBytes(tokens)

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
        added.split(
            text,
            plain: { part, range, _ in
                // Patterns look ahead, so their input must end where the range does.
                encode(part.extracting(range), stage: 0, &workspace, &ids)
            }, token: { ids.append($0) })
    }

    /// Cuts `text` by the splitter of `stage`, and its pieces by the next stage.
    private func encode(_ text: Span<UInt8>, stage: Int, _ workspace: inout EncodingWorkspace, _ ids: inout [Int32]) {
        let isLast = stage == stages.count - 1
        if stages[stage].addsPrefixSpace, text[0] != UInt8(ascii: " ") {
            var prefixed = [UInt8(ascii: " ")]
            for index in 0..<text.count { prefixed.append(text[index]) }
            split(prefixed.span, stage, isLast, &workspace, &ids)
        } else {
            split(text, stage, isLast, &workspace, &ids)
        }
    }

    private func split(
        _ text: Span<UInt8>, _ stage: Int, _ isLast: Bool, _ workspace: inout EncodingWorkspace, _ ids: inout [Int32]
    ) {
        let splitter = stages[stage].splitter
        var start = 0
        while start < text.count {
            let end = splitter.pieceEnd(in: text, from: start)
            if !isLast {
                encode(text.extracting(start..<end), stage: stage + 1, &workspace, &ids)
            } else if !workspace.appendKnown(text, start..<end, to: &ids) {
                mergePiece(text, start..<end, &workspace.merger)
                ids += workspace.merger.symbols
                workspace.remember(text, start..<end)
            }
            start = end
        }
    }

    /// Merges one piece; its ids are in `merger.symbols` afterwards.
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
        guard added.allowsCuts, !stages.contains(where: \.addsPrefixSpace) else { return nil }
        switch stages.last?.splitter {
        case .gpt2: return GPT2Pattern.cut(text, atOrAfter: index)
        // Pieces of symbols include line ends here: only a space is sure to begin a piece.
        case .words: return GPT2Pattern.cut(text, atOrAfter: index, onlyAtSpaces: true)
        default: return nil
        }
    }
}
