/// A byte-level tokenizer without training: each UTF-8 byte is a token, and 256 ends a text.
public struct ByteTokenizer: Tokenizer, Hashable {
    /// The byte tokenizer, which has no parameters.
    public init() {}

    public var vocabularySize: Int { 257 }
    public var bosID: Int32? { nil }
    public var eosID: Int32? { 256 }
    public var serialized: SerializedTokenizer { SerializedTokenizer(kind: "byte", bytes: []) }

    public func encode(_ text: String) -> [Int32] {
        text.utf8.map { Int32($0) }
    }

    public func decode(_ ids: [Int32]) -> [UInt8] {
        ids.compactMap { UInt8(exactly: $0) }
    }
}
