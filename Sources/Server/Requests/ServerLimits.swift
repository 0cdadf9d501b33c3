/// Bounds of requests and connections.
public struct ServerLimits: Sendable {
    /// Bytes of a body.
    public var bodyBytes = 8 << 20
    /// Prompts of one request.
    public var prompts = 256
    /// `n` and `best_of`.
    public var outputs = 128
    /// Whether requests may choose the eviction of their slots.
    public var requestsMayEvict = false
    /// Whether slots of the prefixes that requests share are evicted once, at a prefix's end, and not at each prompt's.
    public var compressesPrefixes = false
    /// Stop strings, and bytes of each.
    public var stops = 16, stopBytes = 256
    /// Entries of `logit_bias`.
    public var biases = 1024
    /// Likeliest tokens beside each.
    public var logprobs = 100
    /// Outputs of one request: its prompts times `n`, `best_of` or beams.
    public var outputsInAll = 1024
    /// Tokens and likeliest tokens of one request's answer: 2 M take some hundred megabytes while they are held.
    public var answerTokens = 2 << 20
    /// Bytes of a text that is only tokenized, where no context bounds it.
    public var textBytes = 1 << 20
    /// Seconds a request may take.
    public var seconds = 600
    /// Seconds in which a request's head and its body have to come, and in which a client has to read some of its answer.
    public var headSeconds = 10, bodySeconds = 30, writeSeconds = 30
    /// Connections at once. Beyond them the one that has been idle longest is closed; with a request at work on each, further
    /// ones get 503, but for `/health`.
    public var connections = 1024
    /// Bytes of bodies that the requests at work hold together, of which one of several tenants has at most half.
    public var heldBytes = 128 << 20
    /// Tokens of prompts and answers of the requests at work together, likeliest tokens included, of which one of several tenants has at
    /// most half.
    public var heldTokens = 16 << 20
    /// Requests of one key at once; nil for as many as there may be connections, or half as many where there are several keys.
    public var keyRequests: Int?
    /// Of ``heldTokens``, those of one key; nil for all, or half of them where there are several keys.
    public var keyTokens: Int?

    /// The defaults.
    public init() {}

    /// The tokens of an answer of `outputs` outputs with `tokens` tokens each, and `logprobs` likeliest tokens beside each of these;
    /// throws where one answer may not have as many.
    @discardableResult
    func check(outputs: Int, tokens: Int, logprobs: Int?) throws(APIError) -> Int {
        guard outputs <= outputsInAll else {
            throw APIError(
                .badRequest,
                "the request has \(outputs) outputs, its prompts times 'n' or 'best_of'; at most \(outputsInAll) "
                    + "are allowed",
                parameter: "n")
        }
        let answer = outputs * tokens * (1 + (logprobs ?? 0))
        guard answer <= answerTokens else {
            throw APIError(
                .badRequest,
                "the answer may have \(answer) tokens and log-probabilities, at most \(answerTokens) are allowed; ask for fewer "
                    + "prompts, outputs, tokens or 'logprobs'", parameter: "max_tokens")
        }
        return answer
    }
}
