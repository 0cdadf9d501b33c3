import Kernels
import Models
import Text

/// A model with what the engine needs beside it.
public struct EngineModel: Sendable {
    /// What clients call it.
    public var name: String
    /// The model.
    public var model: ServingModel
    /// How its tokens become text.
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
    /// Nowhere: its tokens are to be computed.
    case none
    /// The model's cache.
    case cache
    /// A tier, where its pages are, and what the cache held beside them.
    case tier(any TieredPages, PagedKVCache.Snapshot)
}

/// One output in the making.
///
/// The engine alone has it. What grows with the text is changed where it is, as copying it would cost each token more.
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
    /// Outputs that are still to be forked from this one's prompt.
    var forks: Int
    private(set) var sampler: TokenSampler
    private var decoder: TokenStreamDecoder
    private var matcher: StopMatcher
    let stopIDs: Set<Int32>
    let maxTokens: Int
    /// Where its keys and values are; how many tokens' is said there, ``Engine/computed(_:)``.
    var residence = Residence.none
    /// Blocks of the prefix tree it uses.
    var path = PrefixPath()
    /// Whether the tree may hold its blocks: no more once it has wanted their pages for itself.
    var keepsPrefix = true
    /// The prompt's scores so far, where asked for.
    var promptScores: [SampledToken] = []
    let promptLogprobs: Int?
    var cached = 0
    private let arrival = ContinuousClock.now
    /// How long it waited for its first step.
    private(set) var queuedSeconds: Double?
    /// The prompt's event was sent.
    var isStarted = false

    /// The first output of `request`, which asks for at most `maxTokens` of `model` and draws by `sampler`.
    init(_ request: GenerationRequest, id: Int, of model: EngineModel, sampler: TokenSampler, maxTokens: Int) {
        (self.id, self.request, index, self.model) = (id, id, 0, request.model)
        (tenant, prefixScope) = (request.tenant, request.prefixScope)
        (tokens, promptCount) = (request.prompt, request.prompt.count)
        forks = request.beams == nil ? request.count - 1 : 0
        self.sampler = sampler
        decoder = TokenStreamDecoder(model.tokenizer, after: request.prompt)
        matcher = StopMatcher(request.sampling.stopStrings)
        stopIDs = request.sampling.stopIDs.union(request.sampling.ignoreEOS ? [] : model.stopIDs)
        self.maxTokens = maxTokens
        promptLogprobs = request.promptLogprobs
    }

    /// `other` up to here under another number, as output `index`, drawn by `sampler`, without pages in a tier.
    private init(_ other: EngineSequence, id: Int, index: Int, sampler: TokenSampler) {
        (self.id, request, self.index, model) = (id, other.request, index, other.model)
        (tenant, prefixScope) = (other.tenant, other.prefixScope)
        (tokens, promptCount, forks) = (other.tokens, other.promptCount, 0)
        (self.sampler, decoder, matcher) = (sampler, other.decoder, other.matcher)
        (stopIDs, maxTokens, promptLogprobs) = (other.stopIDs, other.maxTokens, other.promptLogprobs)
        (residence, isStarted, path) = (other.residence, other.isStarted, other.path)
    }

    /// The same output up to here under another number.
    func copied(as id: Int) -> EngineSequence { EngineSequence(self, id: id, index: index, sampler: sampler) }

    /// Another output from here on, with random numbers of its own.
    func forked(as id: Int, index: Int) -> EngineSequence {
        EngineSequence(
            self, id: id, index: index,
            sampler: TokenSampler(
                sampler.options, seed: sampler.seed, stream: UInt64(index), prompt: Array(tokens.prefix(promptCount))))
    }

    /// Forgets its keys and values, to be computed again.
    func leavePages() { (residence, path) = (.none, PrefixPath()) }

    /// Whether the model's cache has it.
    var isResident: Bool { if case .cache = residence { true } else { false } }

    /// Says that it is in a step.
    func enter() { queuedSeconds = queuedSeconds ?? (ContinuousClock.now - arrival) / .seconds(1) }

    /// Draws the next token from a row of logits and adds it; what may be shown of the text now, and whether that ends it.
    func draw(
        _ logits: Storage, row: Int, width: Int, greedy: Int32
    ) -> (token: SampledToken, text: String, end: TextEnd?) {
        let token = sampler.choose(logits, row: row, width: width, greedy: greedy)
        tokens.append(token.id)
        guard !stopIDs.contains(token.id) else { return (token, "", .stopID) }
        let shown = matcher.append(decoder.append(token.id))
        return (token, shown.text, shown.stopped ? .stopString : generated >= maxTokens ? .length : nil)
    }

    /// The text held back, be it half a character or the start of a stop string, and whether it stops after all.
    func finishText() -> (text: String, stopped: Bool) {
        let rest = matcher.append(decoder.finish())
        return (rest.text + (rest.stopped ? "" : matcher.finish()), rest.stopped)
    }

    /// What ends a text.
    enum TextEnd {
        case stopID, stopString, length
    }

    /// Tokens it has in pages at most: the last one drawn is never computed.
    var longest: Int { promptCount + max(1, maxTokens) - 1 }

    var generated: Int { tokens.count - promptCount }
}
