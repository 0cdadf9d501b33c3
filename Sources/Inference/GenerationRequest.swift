/// What a client asks of the engine.
public struct GenerationRequest: Sendable {
    /// The model's number in the engine.
    public var model: Int
    /// The prompt's tokens.
    public var prompt: [Int32]
    /// How tokens are chosen and when the output ends.
    public var sampling: SamplingOptions
    /// Outputs to draw from the one prompt, which is computed once.
    public var count = 1
    /// Whether the likeliest outputs are searched for; the `count` best come at the end. Nil for drawing them token by token.
    public var beams: BeamOptions?
    /// Whether the prompt's own tokens are to be scored, with so many likeliest ones beside each.
    public var promptLogprobs: Int?
    /// Whose request it is: tenants have equal shares of the engine where they compete, and prefixes of their own.
    public var tenant = ""
    /// Divides a tenant's prefixes further: they are shared among equal salts alone. Kept as long as a prefix; so the caller
    /// bounds its length.
    public var cacheSalt = ""

    /// A request for one output.
    public init(model: Int = 0, prompt: [Int32], sampling: SamplingOptions = SamplingOptions()) {
        self.model = model
        self.prompt = prompt
        self.sampling = sampling
    }

    /// The prefixes it may share: the tenant's, and within them the salt's; no salt spells another tenant's.
    var prefixScope: String { "\(tenant.utf8.count) \(tenant)\(cacheSalt)" }
}

/// Why an output ended.
public enum FinishReason: String, Sendable, Hashable {
    /// A stop token, a stop string or the model's own end.
    case stop
    /// As long as was asked for, or as the model or the cache allows.
    case length
}

/// What comes back, in order.
public enum GenerationEvent: Sendable {
    /// The prompt's tokens scored, where asked for, of which the first has no log-probability; how many of them were found in the
    /// prefix cache, and how long the request waited for its first step.
    case prompt([SampledToken], cached: Int, queuedSeconds: Double)
    /// One more token of output `index`, and the text that is certain by now; empty where a character or a stop string may
    /// still be incomplete.
    case token(index: Int, SampledToken, text: String)
    /// The end of output `index`, with what text was held back.
    case finished(index: Int, FinishReason, text: String)
}

/// A request in the engine: its number, and what becomes of it.
public struct Generation: Sendable {
    /// The number, for ``Engine/cancel(_:)``.
    public let id: Int
    /// Ends after every output has finished, or at once where the engine stops. Letting go of it cancels the request.
    public let events: AsyncStream<GenerationEvent>
}
