import Kernels
import Models
import Text

/// A model to serve, with its tokenizer and its stop tokens.
public struct EngineModel: Sendable {
    /// The name that clients request.
    public var name: String
    /// The model.
    public var model: ServingModel
    /// The model's tokenizer.
    public var tokenizer: any Tokenizer
    /// Tokens that end a text.
    public var stopIDs: Set<Int32>

    /// A model under a name.
    public init(name: String, model: ServingModel, tokenizer: any Tokenizer, stopIDs: Set<Int32>) {
        self.name = name
        self.model = model
        self.tokenizer = tokenizer
        self.stopIDs = stopIDs
    }
}

/// The place of a sequence's keys and values.
enum Residence {
    /// Nowhere: all tokens are still to be computed.
    case none
    /// In the model's cache.
    case cache
    /// In a tier: the swapped pages, and the cache's state beside them.
    case tier(any TieredPages, PagedKVCache.Snapshot)
}

/// One unfinished output.
///
/// A class owned by the engine alone: its arrays grow in place, as copying them would add a cost proportional to the text to each
/// token.
final class EngineSequence {
    let id: Int
    let request: Int
    let index: Int
    let model: Int
    let tenant: String
    /// The prefix tree's salt.
    let prefixScope: String
    /// Prompt and output so far.
    var tokens: [Int32]
    let promptCount: Int
    /// Tokens of the prompt that are computed in blocks, and at whose end evictions decide.
    let contextCount: Int
    /// Whether it may begin behind an equal context, and leaves its own to others.
    let sharesContext: Bool
    /// Outputs still to be forked from this one's prompt.
    var forks: Int
    private(set) var sampler: TokenSampler
    private var decoder: TokenStreamDecoder
    private var matcher: StopMatcher
    let stopIDs: Set<Int32>
    let maxTokens: Int
    /// The retention of its slots; nil for the engine's.
    let retention: (any Retention)?
    /// The place of its keys and values; ``Engine/computed(_:)`` gives their number.
    var residence = Residence.none
    /// The prefix tree's blocks that it uses.
    var path = PrefixPath()
    /// Whether its blocks may enter the prefix tree; false once it needed the tree's pages itself.
    var keepsPrefix = true
    /// The scores of the prompt's tokens so far, where requested.
    var promptScores: [SampledToken] = []
    let promptLogprobs: Int?
    var cached = 0
    /// Seconds in which slots of its prompt were evicted.
    var compressSeconds = 0.0
    private let arrival = ContinuousClock.now
    /// Seconds from arrival to its first step.
    private(set) var queuedSeconds: Double?
    /// Whether the prompt's event was sent.
    var isStarted = false

    /// The first output of `request`, of at most `maxTokens` tokens, drawn by `sampler`.
    init(_ request: GenerationRequest, id: Int, of model: EngineModel, sampler: TokenSampler, maxTokens: Int) {
        (self.id, self.request, index, self.model) = (id, id, 0, request.model)
        (tenant, prefixScope) = (request.tenant, request.prefixScope)
        (tokens, promptCount) = (request.prompt, request.prompt.count)
        contextCount = request.contextTokens ?? request.prompt.count
        sharesContext =
            request.sharesContext && contextCount < promptCount && request.retention == nil && request.promptLogprobs == nil
        forks = request.beams == nil ? request.count - 1 : 0
        self.sampler = sampler
        decoder = TokenStreamDecoder(model.tokenizer, after: request.prompt)
        matcher = StopMatcher(request.sampling.stopStrings)
        stopIDs = request.sampling.stopIDs(of: model.stopIDs)
        self.maxTokens = maxTokens
        retention = request.retention?.instructed(by: model.tokenizer)
        promptLogprobs = request.promptLogprobs
    }

    /// A copy of `other` under a new number, as output `index`, drawn by `sampler`, without pages in a tier.
    private init(_ other: EngineSequence, id: Int, index: Int, sampler: TokenSampler) {
        (self.id, request, self.index, model) = (id, other.request, index, other.model)
        (tenant, prefixScope) = (other.tenant, other.prefixScope)
        (tokens, promptCount, contextCount, forks) = (other.tokens, other.promptCount, other.contextCount, 0)
        sharesContext = other.sharesContext
        (self.sampler, decoder, matcher) = (sampler, other.decoder, other.matcher)
        (stopIDs, maxTokens, promptLogprobs) = (other.stopIDs, other.maxTokens, other.promptLogprobs)
        (residence, isStarted, path, retention) = (other.residence, other.isStarted, other.path, other.retention)
    }

    /// A copy of the same output under a new number.
    func copied(as id: Int) -> EngineSequence { EngineSequence(self, id: id, index: index, sampler: sampler) }

    /// A fork from here on, as another output with random numbers of its own.
    func forked(as id: Int, index: Int) -> EngineSequence {
        EngineSequence(
            self, id: id, index: index,
            sampler: TokenSampler(
                sampler.options, seed: sampler.seed, stream: UInt64(index), prompt: Array(tokens.prefix(promptCount)),
                stopIDs: stopIDs))
    }

    /// Drops its keys and values, so that it is recomputed.
    func leavePages() { (residence, path) = (.none, PrefixPath()) }

    /// Whether it is resident in the model's cache.
    var isResident: Bool { if case .cache = residence { true } else { false } }

    /// Records that it is scheduled; the first time ends its queueing time.
    func enter() { queuedSeconds = queuedSeconds ?? (ContinuousClock.now - arrival) / .seconds(1) }

    /// Draws and appends the next token from a row of logits; returns the text that may be sent now and, where the output ends, why
    /// and with which text held back until then.
    func draw(
        _ logits: Storage, row: Int, width: Int, greedy: Int32
    ) -> (token: SampledToken, text: String, end: (reason: FinishReason, text: String)?) {
        let token = sampler.choose(logits, row: row, width: width, greedy: greedy)
        tokens.append(token.id)
        let isStop = stopIDs.contains(token.id)
        let shown = isStop ? (text: "", stopped: false) : matcher.append(decoder.append(token.id))
        if shown.stopped { return (token, shown.text, (reason: .stop, text: "")) }
        guard isStop || generated >= maxTokens else { return (token, shown.text, nil) }
        // An incomplete character or the start of a stop string, which it may complete.
        let rest = matcher.append(decoder.finish())
        let text = rest.text + (rest.stopped ? "" : matcher.finish())
        return (token, shown.text, (reason: isStop || rest.stopped ? .stop : .length, text: text))
    }

    /// The most tokens it ever stores: the last token drawn is never computed.
    var longest: Int { promptCount + max(1, maxTokens) - 1 }

    var generated: Int { tokens.count - promptCount }
}
