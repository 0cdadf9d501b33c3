/// A tokenizer: text to token ids and back.
public protocol Tokenizer: Sendable {
    /// Number of ids, which start at 0.
    var vocabularySize: Int { get }
    /// The beginning-of-sequence token, where there is one; `encode` never adds it.
    var bosID: Int32? { get }
    /// The end-of-sequence token, where there is one; it also separates packed documents.
    var eosID: Int32? { get }
    /// The special tokens, which mark the beginning or the end of something; by default BOS and EOS.
    var specialIDs: Set<Int32> { get }
    /// The ids of `text`, without BOS or EOS.
    func encode(_ text: String) -> [Int32]
    /// The bytes of `ids`, as a multi-byte character may be split over two calls; unknown ids have none.
    func decode(_ ids: [Int32]) -> [UInt8]
    /// The form stored in checkpoints, which `TokenizerFile.load(_:)` reads back to an equal tokenizer.
    var serialized: SerializedTokenizer { get }
}

extension Tokenizer {
    public var specialIDs: Set<Int32> { Set([bosID, eosID].compactMap { $0 }) }
}

/// A serialized tokenizer.
public struct SerializedTokenizer: Sendable, Hashable {
    /// The format of the bytes: `byte`, `tokenizer.json` or `llama2.c`.
    public var kind: String
    /// The file's content; empty for `byte`.
    public var bytes: [UInt8]

    /// A serialized tokenizer of this kind.
    public init(kind: String, bytes: [UInt8]) {
        self.kind = kind
        self.bytes = bytes
    }
}
