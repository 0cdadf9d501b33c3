/// What a model's files say of its use beside weights and tokenizer: special tokens, how chats become prompts, how to sample.
public struct TokenIDs: Codable, Sendable, Hashable {
    /// Beginning of sequence.
    public var bos: Int32?
    /// End of sequence: the first is the usual one, a model may stop at others too.
    public var eos: [Int32]
    /// The Jinja template of its chats, carried from import to export.
    public var chatTemplate: String?
    /// Its `generation_config.json`, carried likewise.
    public var generationConfig: String?
    /// The special tokens' texts by the names that `tokenizer_config.json` gives them, such as "pad_token".
    public var specialTokens: [String: String]?
    /// The licence its model card names, which children inherit.
    public var license: String?

    /// The longest text kept, in bytes: an HDF5 attribute holds 64 KiB, this with others.
    static let longestText = 24 << 10

    /// The name of the token that fills up batches.
    static let padding = "pad_token"

    /// Names under which a tokenizer has special tokens, beside those for several.
    static let specialNames = ["bos_token", "eos_token", "unk_token", padding, "sep_token", "cls_token", "mask_token"]

    /// The ids alone, without texts that travel with them.
    public init(bos: Int32? = nil, eos: [Int32] = []) {
        self.bos = bos
        self.eos = eos
    }
}
