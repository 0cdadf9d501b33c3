/// Text to token ids and back.
public protocol Tokenizer: Sendable {
    /// Ids run from 0 up to, not including, this.
    var vocabularySize: Int { get }
    /// The beginning-of-sequence token, where there is one; `encode` never adds it.
    var bosID: Int32? { get }
    /// The end-of-sequence token, where there is one; it also separates packed documents.
    var eosID: Int32? { get }
    /// The ids of `text`, without BOS or EOS.
    func encode(_ text: String) -> [Int32]
    /// The bytes `ids` stand for, so that a multi-byte character may be split over two calls; unknown ids give none.
    func decode(_ ids: [Int32]) -> [UInt8]
    /// What a checkpoint keeps, and `TokenizerFile.load(_:)` reads back to an equal tokenizer.
    var serialized: SerializedTokenizer { get }
}

/// A tokenizer as bytes.
public struct SerializedTokenizer: Sendable, Hashable {
    /// Which reader the bytes are for: `byte`, `tokenizer.json` or `llama2.c`.
    public var kind: String
    /// Empty for `byte`; else the file's content.
    public var bytes: [UInt8]

    public init(kind: String, bytes: [UInt8]) {
        self.kind = kind
        self.bytes = bytes
    }
}
