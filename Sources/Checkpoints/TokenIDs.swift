/// A model's settings beside weights and tokenizer: special tokens, chat template, generation settings, licence.
public struct TokenIDs: Codable, Sendable, Hashable {
    /// The beginning-of-sequence token.
    public var bos: Int32?
    /// The end-of-sequence tokens, the usual one first.
    public var eos: [Int32]
    /// The Jinja chat template, carried from import to export.
    public var chatTemplate: String?
    /// The `generation_config.json`, carried from import to export.
    public var generationConfig: String?
    /// The special tokens' texts by their names in `tokenizer_config.json`, such as "pad_token".
    public var specialTokens: [String: String]?
    /// The licence named in the model card, inherited by children.
    public var license: String?

    /// The longest text stored, in bytes: an HDF5 attribute holds 64 KiB of several texts.
    static let longestText = 24 << 10

    /// The name of the padding token.
    static let padding = "pad_token"

    /// The names of single special tokens in `tokenizer_config.json`.
    static let specialNames = ["bos_token", "eos_token", "unk_token", padding, "sep_token", "cls_token", "mask_token"]

    /// The ids alone, without the texts.
    public init(bos: Int32? = nil, eos: [Int32] = []) {
        self.bos = bos
        self.eos = eos
    }
}
