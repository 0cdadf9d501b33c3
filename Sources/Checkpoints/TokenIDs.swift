/// The special tokens a model was trained with, where its files say so apart from the tokenizer.
public struct TokenIDs: Codable, Sendable, Hashable {
    /// Beginning of sequence.
    public var bos: Int32?
    /// End of sequence: the first is the usual one, a model may stop at others too.
    public var eos: [Int32]

    public init(bos: Int32? = nil, eos: [Int32] = []) {
        self.bos = bos
        self.eos = eos
    }
}
