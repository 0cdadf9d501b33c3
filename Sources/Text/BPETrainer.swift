import Files

/// Trains a byte-level BPE vocabulary: the most frequent pair of adjacent tokens becomes a token, repeatedly.
///
/// Deterministic: of equally frequent pairs the one with the lowest ids merges first. The result equals that of Hugging Face's
/// `BpeTrainer` with the ByteLevel alphabet. Source: Sennrich et al., "Neural Machine Translation of Rare Words with Subword
/// Units" (2016).
public struct BPETrainer {
    /// The default end-of-text token.
    public static let endOfText = "<|endoftext|>"

    /// The progress of training.
    public enum Progress: Sendable, Equatable {
        /// Bytes of text cut into words, of the bytes in all.
        case reading(bytes: Int, of: Int)
        /// Tokens in the vocabulary, of the tokens wanted.
        case merging(tokens: Int, of: Int)
    }

    private let specialTokens: [[UInt8]]
    private var words = WordTable()
    private var wordCounts: [Int] = []

    /// A trainer without text.
    ///
    /// - Parameter specialTokens: tokens with the first ids; the first of them is the end-of-text token.
    public init(specialTokens: [String] = [BPETrainer.endOfText]) throws(TextError) {
        for (index, token) in specialTokens.enumerated() {
            guard !token.isEmpty else { throw .invalidSpecialToken(token, reason: "it is empty") }
            guard !specialTokens[..<index].contains(token) else { throw .invalidSpecialToken(token, reason: "it is named twice") }
            guard token.utf8.count > 1 else { throw .invalidSpecialToken(token, reason: "a single byte is a token already") }
        }
        self.specialTokens = specialTokens.map { Array($0.utf8) }
    }

    /// Trains on all documents of `corpus`.
    ///
    /// - Parameters:
    ///   - vocabularySize: tokens wanted in all, special ones and the 256 bytes included; the vocabulary is smaller where no
    ///     pair occurs twice any more.
    ///   - progress: called repeatedly.
    public static func train(
        corpus: Corpus, vocabularySize: Int, specialTokens: [String] = [endOfText],
        progress: (Progress) throws -> Void = { _ in }
    ) throws -> BPETokenizer {
        var trainer = try BPETrainer(specialTokens: specialTokens)
        try trainer.check(vocabularySize)
        var done = 0
        let total = corpus.byteCount
        var read: [Corpus.Document] = []
        var readBytes = 0
        let matcher = AddedTokenMatcher(exact: trainer.specialTokens)
        for document in corpus.documents {
            try corpus.withUTF8(document) { text throws in
                var start = 0
                while start < text.count {
                    let cut = matcher.mayCrossSpace ? nil : GPT2Pattern.cut(text, atOrAfter: start + 1 << 22)
                    let end = cut ?? text.count
                    trainer.add(text.extracting(start..<end))
                    try progress(.reading(bytes: done + end, of: total))
                    let offset = document.bytes.lowerBound
                    read.append(Corpus.Document(file: document.file, bytes: offset + start..<offset + end))
                    readBytes += end - start
                    if readBytes >= 1 << 24 {
                        corpus.release(read)
                        (read, readBytes) = ([], 0)
                    }
                    start = end
                }
            }
            done += document.bytes.count
        }
        return try trainer.finish(vocabularySize: vocabularySize, progress: progress)
    }

    /// Counts the words of `text`; special tokens in it are skipped.
    private mutating func add(_ text: Span<UInt8>) {
        AddedTokenMatcher(exact: specialTokens).split(
            text, 0..<text.count, plain: { addPieces(text.extracting($0)) }, token: { _ in })
    }

    private mutating func addPieces(_ text: Span<UInt8>) {
        let pattern = GPT2Pattern()
        var start = 0
        while start < text.count {
            let end = pattern.pieceEnd(in: text, from: start)
            let word = words.insert(text, start..<end)
            if word == wordCounts.count { wordCounts.append(0) }
            wordCounts[word] += 1
            start = end
        }
    }

    private func check(_ vocabularySize: Int) throws(TextError) {
        let minimum = 256 + specialTokens.count
        guard vocabularySize >= minimum else { throw .vocabularyTooSmall(requested: vocabularySize, minimum: minimum) }
    }

    /// Learns the merges from the words counted so far.
    private func finish(vocabularySize: Int, progress: (Progress) throws -> Void) throws -> BPETokenizer {
        var tokens = specialTokens
        tokens += ByteAlphabet.bytesInOrder.map { ByteAlphabet.encode([$0]) }
        var symbolOfByte = [Int32](repeating: 0, count: 256)
        for (index, byte) in ByteAlphabet.bytesInOrder.enumerated() {
            symbolOfByte[Int(byte)] = Int32(specialTokens.count + index)
        }
        var pairs = PairCounts(
            words: wordCounts.indices.map { word in words.bytes(word).map { symbolOfByte[Int($0)] } }, counts: wordCounts)
        var ids: [[UInt8]: Int32] = [:]
        for (id, token) in tokens.enumerated() { ids[token] = Int32(id) }

        var merges: [(left: [UInt8], right: [UInt8])] = []
        while tokens.count < vocabularySize, let best = pairs.mostFrequent(), best.count >= 2 {
            let (left, right) = (tokens[Int(best.left)], tokens[Int(best.right)])
            // Two merges may give the same string: "ab" + "c" and "a" + "bc" are one token.
            let id = ids[left + right] ?? Int32(tokens.count)
            if Int(id) == tokens.count {
                tokens.append(left + right)
                ids[left + right] = id
            }
            merges.append((left, right))
            pairs.merge(best, into: id)
            if merges.count % 64 == 0 { try progress(.merging(tokens: tokens.count, of: vocabularySize)) }
        }
        try progress(.merging(tokens: tokens.count, of: vocabularySize))
        let bytes = TokenizerJSONWriter.byteLevel(tokens: tokens, specialCount: specialTokens.count, merges: merges)
        let file = try TokenizerJSON(bytes, file: "the trained tokenizer")
        return try BPETokenizer(file, stages: [SplitterStage(splitter: .gpt2)])
    }
}
