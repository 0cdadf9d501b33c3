import Files

/// The token stream of a corpus, documents one after another, in memory or mapped from a ``TokenCache``.
///
/// Each document is `[BOS] text [EOS]`, without the tokens that the tokenizer lacks; a chat is as its template writes it, and of its
/// tokens the assistant's are targets alone.
public struct TokenStream: Sendable {
    /// Tokens in all.
    public let count: Int
    /// The index of each document's first token, ascending from 0.
    public let documentStarts: [Int]

    private let storage: Storage

    // Where chats are among the documents, the id of a token that is no target is stored as its complement, which is negative.
    private enum Storage: Sendable {
        case ids([Int32])
        case mapped(MappedFile, offset: Int, width: Int)
    }

    /// A stream in memory.
    public init(ids: [Int32], documentStarts: [Int] = [0]) {
        precondition(
            documentStarts.allSatisfy { (0...ids.count).contains($0) }
                && zip(documentStarts, documentStarts.dropFirst()).allSatisfy { $0 <= $1 },
            "TokenStream: document starts are not ascending from 0 to \(ids.count)")
        count = ids.count
        self.documentStarts = documentStarts
        storage = .ids(ids)
    }

    /// The documents of `corpus` encoded by `tokenizer`, in memory.
    public init(_ corpus: Corpus, tokenizer: some Tokenizer, progress: (_ bytes: Int, _ of: Int) throws -> Void = { _, _ in })
        throws
    {
        var ids: [Int32] = []
        var starts: [Int] = []
        try CorpusEncoder(tokenizer).encode(corpus, progress: progress) { part throws in
            starts += part.documentStarts.map { $0 + ids.count }
            ids += part.marked
        }
        self.init(ids: ids, documentStarts: starts)
    }

    /// `count` little-endian ids of `width` bytes (2 or 4) at `offset` of `file`.
    init(mapped file: MappedFile, offset: Int, width: Int, count: Int, documentStarts: [Int]) {
        self.count = count
        self.documentStarts = documentStarts
        storage = .mapped(file, offset: offset, width: width)
    }

    /// The ids in `range`, which lies in 0 ..< `count`.
    public func ids(_ range: Range<Int>) -> [Int32] { stored(range).map { $0 < 0 ? ~$0 : $0 } }

    /// The ids in `range` as targets: ``TokenBatch/ignored`` for those that are not learnt.
    public func targets(_ range: Range<Int>) -> [Int32] { stored(range).map { $0 < 0 ? TokenBatch.ignored : $0 } }

    /// Tokens that are targets.
    public var targetCount: Int {
        stride(from: 0, to: count, by: 1 << 16).reduce(0) { sum, start in
            sum + stored(start..<min(start + 1 << 16, count)).count { $0 >= 0 }
        }
    }

    private func stored(_ range: Range<Int>) -> [Int32] {
        precondition(range.lowerBound >= 0 && range.upperBound <= count, "TokenStream: \(range) is outside 0..<\(count)")
        switch storage {
        case .ids(let ids): return Array(ids[range])
        case .mapped(let file, let offset, let width):
            // Samples are drawn from all of a file that may be larger than memory.
            defer { file.release(offset + range.lowerBound * width..<offset + range.upperBound * width) }
            return unsafe file.withUnsafeBytes { bytes in
                range.map { index in
                    let at = offset + index * width
                    return width == 2
                        ? Int32(UInt16(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: at, as: UInt16.self)))
                        : Int32(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: at, as: Int32.self))
                }
            }
        }
    }

    /// The first token of the document that contains token `index`.
    func documentStart(of index: Int) -> Int {
        // Binary search for the last start that is not after `index`.
        var (low, high) = (0, documentStarts.count)
        while low < high {
            let middle = (low + high) / 2
            if documentStarts[middle] <= index { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? 0 : documentStarts[low - 1]
    }
}
