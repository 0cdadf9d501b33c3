/// How a request's tokens are chosen and when it ends.
public struct SamplingOptions: Sendable, Hashable {
    /// Tokens at most.
    public var maxTokens = 16
    /// 0 takes the likeliest token; above, logits are divided by it.
    public var temperature = 1.0
    /// Only the `topK` likeliest tokens may be drawn; nil for all.
    public var topK: Int?
    /// Only the fewest likeliest tokens whose probabilities reach `topP` may be drawn (Holtzman et al. 2020); 1 for all.
    public var topP = 1.0
    /// Only tokens of at least `minP` times the likeliest one's probability may be drawn (Nguyen et al. 2024).
    public var minP = 0.0
    /// Taken off the logit of every token generated before.
    public var presencePenalty = 0.0
    /// Taken off the logit of a token for each time it was generated before.
    public var frequencyPenalty = 0.0
    /// Divides a positive logit, multiplies a negative one, of every token of prompt and output (Keskar et al. 2019).
    public var repetitionPenalty = 1.0
    /// Added to the logits of these tokens.
    public var logitBias: [Int32: Float] = [:]
    /// The same seed draws the same tokens from the same logits; nil for one of the engine's choosing.
    public var seed: UInt64?
    /// Tokens that end the output, beside the model's own end-of-sequence; they are not part of its text.
    public var stopIDs: Set<Int32> = []
    /// Strings that end the output; they are not part of it.
    public var stopStrings: [String] = []
    /// Whether the model's own end-of-sequence tokens are taken for ordinary ones.
    public var ignoreEOS = false
    /// Whether log-probabilities are wanted, and of how many likeliest tokens beside the chosen one.
    public var logprobs: Int?

    /// OpenAI's defaults.
    public init() {}
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

/// A token that was chosen, or one of the prompt that was scored.
public struct SampledToken: Sendable, Hashable {
    /// The token.
    public var id: Int32
    /// ln p, where log-probabilities were asked for.
    public var logprob: Float?
    /// The likeliest tokens, the likeliest first; ties fall to the lower id.
    public var top: [TokenLogprob] = []
}
