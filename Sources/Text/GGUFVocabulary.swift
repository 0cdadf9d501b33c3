import JSON

/// A tokenizer in GGUF's metadata: the content of `tokenizer.ggml.*`.
public struct GGUFVocabulary: Sendable, Equatable {
    /// Token types: the values of `token_type`. Source: llama.cpp, `llama.h`.
    public enum TokenType: Int32, Sendable {
        case normal = 1
        case unknown, control, userDefined, unused, byte
    }

    /// `gpt2` for byte-level BPE, `llama` for SentencePiece-style BPE.
    public var model: String
    /// The pre-tokenizer of byte-level BPE: `tokenizer.ggml.pre`.
    public var pre: String?
    /// Tokens by id.
    public var tokens: [[UInt8]]
    /// For `llama`, the scores of merges: the highest merges first.
    public var scores: [Float] = []
    /// Token types by id.
    public var types: [TokenType]
    /// For `gpt2`, "left right" in the order learnt.
    public var merges: [[UInt8]] = []
    /// Beginning of sequence.
    public var bos: Int32?
    /// End of sequence.
    public var eos: Int32?
    /// For `llama`, the unknown token.
    public var unknown: Int32?
    /// The padding token.
    public var padding: Int32?
    /// Whether a text begins with the BOS token.
    public var addsBOS = false
    /// For `llama`, whether a space is added before a text.
    public var addsSpacePrefix = true

    /// A vocabulary without merges and special ids.
    public init(model: String, pre: String? = nil, tokens: [[UInt8]], scores: [Float] = [], types: [TokenType]) {
        self.model = model
        self.pre = pre
        self.tokens = tokens
        self.scores = scores
        self.types = types
    }

    /// The splitters of each supported `tokenizer.ggml.pre`, and whether whole words bypass merging.
    static let preTokenizers: [(name: String, splitters: [Splitter], ignoresMerges: Bool)] =
        Splitter.ggufNames.map { ($0.name, $0.splitters, $0.name == "llama-bpe") } + [
            ("smaug-bpe", [.words(WordPattern(digits: 3))], false), ("dbrx", [.words(WordPattern(digits: 3))], false),
            ("llama3", [.words(WordPattern(digits: 3))], true), ("llama-v3", [.words(WordPattern(digits: 3))], true),
            ("deepseek-r1-qwen", [.words(WordPattern(digits: 1))], false),
            ("starcoder", [.digits(areSingle: true), .gpt2], false), ("refact", [.digits(areSingle: true), .gpt2], false),
        ]

    static let mark = Array("▁".utf8)
}
