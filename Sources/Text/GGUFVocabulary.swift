import JSON

/// A tokenizer as GGUF's metadata lays it out: what `tokenizer.ggml.*` holds.
public struct GGUFVocabulary: Sendable, Equatable {
    /// The kinds of tokens that `token_type` tells apart. Source: llama.cpp, `llama.h`.
    public enum TokenType: Int32, Sendable {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    /// `gpt2` for byte-level BPE, `llama` for SentencePiece-style BPE.
    public var model: String
    /// How text is cut before byte-level BPE: `tokenizer.ggml.pre`.
    public var pre: String?
    /// Tokens by id.
    public var tokens: [[UInt8]]
    /// For `llama`, what decides between merges: the highest goes first.
    public var scores: [Float] = []
    /// What each token is.
    public var types: [TokenType]
    /// For `gpt2`, "left right" in the order learnt.
    public var merges: [[UInt8]] = []
    /// Beginning of sequence.
    public var bos: Int32?
    /// End of sequence.
    public var eos: Int32?
    /// For `llama`, the token for what the vocabulary lacks.
    public var unknown: Int32?
    /// What fills up batches.
    public var padding: Int32?
    /// Whether a text begins with the BOS token.
    public var addsBOS = false
    /// For `llama`, whether a text begins with a space that is not its own.
    public var addsSpacePrefix = true

    /// A vocabulary without merges and special ids.
    public init(model: String, pre: String? = nil, tokens: [[UInt8]], scores: [Float] = [], types: [TokenType]) {
        self.model = model
        self.pre = pre
        self.tokens = tokens
        self.scores = scores
        self.types = types
    }

    /// How each `tokenizer.ggml.pre` that kvlab knows cuts text, and whether whole words need no merges.
    static let preTokenizers: [(name: String, splitters: [Splitter], ignoresMerges: Bool)] =
        Splitter.ggufNames.map { ($0.name, $0.splitters, $0.name == "llama-bpe") } + [
            ("smaug-bpe", [.words(WordPattern(digits: 3))], false), ("dbrx", [.words(WordPattern(digits: 3))], false),
            ("llama3", [.words(WordPattern(digits: 3))], true), ("llama-v3", [.words(WordPattern(digits: 3))], true),
            ("deepseek-r1-qwen", [.words(WordPattern(digits: 1))], false),
            ("starcoder", [.digits(areSingle: true), .gpt2], false), ("refact", [.digits(areSingle: true), .gpt2], false),
        ]

    static let mark = Array("▁".utf8)
}
