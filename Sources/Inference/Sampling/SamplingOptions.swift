/// A request's sampling parameters and stop conditions.
public struct SamplingOptions: Sendable, Hashable {
    /// The most tokens to generate.
    public var maxTokens = 16
    /// 0 is greedy; above, logits are divided by it.
    public var temperature = 1.0
    /// Top-k: only the `topK` likeliest tokens may be drawn; nil for all.
    public var topK: Int?
    /// Top-p: only the fewest likeliest tokens whose probabilities reach `topP` may be drawn (Holtzman et al. 2020); 1 for all.
    public var topP = 1.0
    /// Min-p: only tokens of at least `minP` times the likeliest one's probability may be drawn (Nguyen et al. 2024).
    public var minP = 0.0
    /// Subtracted from the logit of every token generated before.
    public var presencePenalty = 0.0
    /// Subtracted from a token's logit for each time it was generated before.
    public var frequencyPenalty = 0.0
    /// Divides a positive logit, multiplies a negative one, of every token of prompt and output (Keskar et al. 2019).
    public var repetitionPenalty = 1.0
    /// Added to the logits of these tokens.
    public var logitBias: [Int32: Float] = [:]
    /// The seed: equal seeds draw equal tokens from equal logits; nil for one of the engine's.
    public var seed: UInt64?
    /// Tokens that end the output, beside the model's end-of-sequence tokens; they are not part of its text.
    public var stopIDs: Set<Int32> = []
    /// Tokens before which the output may not end at a token: until then stop tokens are never drawn.
    public var minTokens = 0
    /// Strings that end the output; they are not part of it.
    public var stopStrings: [String] = []
    /// Whether the model's end-of-sequence tokens are treated as ordinary ones.
    public var ignoreEOS = false
    /// Number of likeliest tokens to return with each chosen token's log-probability; nil for no log-probabilities.
    public var logprobs: Int?

    /// OpenAI's defaults.
    public init() {}

    /// All tokens that end an output of a model whose own ones are `model`.
    func stopIDs(of model: Set<Int32>) -> Set<Int32> { stopIDs.union(ignoreEOS ? [] : model) }
}

/// A token with its log-probability under the model, before temperature, penalties and bias.
public struct TokenLogprob: Sendable, Hashable {
    /// The token.
    public var id: Int32
    /// ln p.
    public var logprob: Float

    /// A token and its ln p.
    public init(id: Int32, logprob: Float) {
        self.id = id
        self.logprob = logprob
    }
}

/// A sampled token, or a scored token of the prompt.
public struct SampledToken: Sendable, Hashable {
    /// The token.
    public var id: Int32
    /// ln p, where log-probabilities were requested.
    public var logprob: Float?
    /// The likeliest tokens in descending order; ties fall to the lower id.
    public var top: [TokenLogprob] = []
}
