/// A client's request to the engine.
public struct GenerationRequest: Sendable {
    /// The model's number in the engine.
    public var model: Int
    /// The prompt's tokens.
    public var prompt: [Int32]
    /// How tokens are sampled and when the output ends.
    public var sampling: SamplingOptions
    /// Outputs to generate from the prompt, which is computed once.
    public var count = 1
    /// Options of a beam search, whose `count` best hypotheses are sent at its end; nil for sampling token by token.
    public var beams: BeamOptions?
    /// Tokens of the prompt at whose end evictions decide, so that they have not seen the rest, such as a question; nil for the
    /// whole prompt. From 1 to the prompt's tokens.
    public var contextTokens: Int?
    /// Whether its context, after the evictions at its end, is kept for requests with an equal context, which then start behind it;
    /// without effect where the context is the whole prompt, for a ``retention`` of its own, and for scored prompts.
    public var sharesContext = false
    /// Whether the prompt's tokens are scored, and with how many likeliest tokens at each position.
    public var promptLogprobs: Int?
    /// The retention of its slots in layers without a window; nil for the engine's.
    public var retention: (any Retention)?
    /// The tenant: competing tenants have equal shares of the engine, and each has a prefix cache of its own.
    public var tenant = ""
    /// Divides a tenant's prefix cache further: prefixes are shared only between equal salts. A salt is kept as long as its
    /// prefixes, so the caller bounds its length.
    public var cacheSalt = ""

    /// A request for one output.
    public init(model: Int = 0, prompt: [Int32], sampling: SamplingOptions = SamplingOptions()) {
        self.model = model
        self.prompt = prompt
        self.sampling = sampling
    }

    /// Makes the first `tokens` the context: evictions decide at their end, and requests with an equal context share the compressed pages.
    /// With nil evictions decide at the prompt's end, and nothing compressed is shared.
    public mutating func share(_ tokens: Int?) { (contextTokens, sharesContext) = (tokens, tokens != nil) }

    /// The scope of its prefixes: the tenant and, within it, the salt; no salt spells another tenant's scope.
    var prefixScope: String { "\(tenant.utf8.count) \(tenant)\(cacheSalt)" }
}

/// Why an output ended.
public enum FinishReason: String, Sendable, Hashable {
    /// A stop token, a stop string or the model's end-of-sequence token.
    case stop
    /// The requested length, or the limit of the model or of the cache.
    case length
}

/// The events of a generation, in order.
public enum GenerationEvent: Sendable {
    /// The prompt's scored tokens, where requested, the first without a log-probability; the number of them found in the prefix
    /// cache; the seconds from arrival to the first step; and the seconds of evicting slots of the prompt, a part of the time to the
    /// first token.
    case prompt([SampledToken], cached: Int, queuedSeconds: Double, compressSeconds: Double)
    /// The next token of output `index`, and the text that is final by now; empty while a character or a possible stop string is
    /// incomplete.
    case token(index: Int, SampledToken, text: String)
    /// The end of output `index`, with the text held back until then.
    case finished(index: Int, FinishReason, text: String)
}

/// A submitted request: its number and the stream of its events.
public struct Generation: Sendable {
    /// The number, for ``Engine/cancel(_:)``.
    public let id: Int
    /// The events; the stream ends after the last output, or at once where the engine stops. Dropping it cancels the request.
    public let events: AsyncStream<GenerationEvent>
}
