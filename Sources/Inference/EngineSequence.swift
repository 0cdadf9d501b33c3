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

/// One output in the making.
struct EngineSequence {
    let id: Int
    let request: Int
    let index: Int
    let model: Int
    let tenant: String
    /// Prompt and output so far.
    var tokens: [Int32]
    let promptCount: Int
    /// Outputs that are still to be forked from this one's prompt.
    var forks: Int
    var sampler: TokenSampler
    var decoder: TokenStreamDecoder
    var matcher: StopMatcher
    let stopIDs: Set<Int32>
    let maxTokens: Int
    /// Tokens in pages.
    var computed = 0
    /// Whether the model's cache has it.
    var isResident = false
    /// Blocks of the prefix tree it uses.
    var path = PrefixPath()
    /// Whether the tree may hold its blocks: no more once it has wanted their pages for itself.
    var keepsPrefix = true
    var swapped: SwapFile?
    /// The prompt's scores so far, where asked for.
    var promptScores: [SampledToken] = []
    let promptLogprobs: Int?
    var cached = 0
    private let arrival = ContinuousClock.now
    /// How long it waited for its first step.
    private(set) var queuedSeconds: Double?
    /// The prompt's event was sent.
    var isStarted = false

    /// The same output up to here under another number, without a file of its own.
    func copied(as id: Int) -> EngineSequence {
        var copy = EngineSequence(
            id: id, request: request, index: index, model: model, tenant: tenant, tokens: tokens, promptCount: promptCount,
            forks: 0, sampler: sampler, decoder: decoder, matcher: matcher, stopIDs: stopIDs, maxTokens: maxTokens,
            promptLogprobs: promptLogprobs)
        (copy.computed, copy.isResident, copy.isStarted, copy.path) = (computed, isResident, isStarted, path)
        return copy
    }

    /// Says that it is in a step.
    mutating func enter() { queuedSeconds = queuedSeconds ?? (ContinuousClock.now - arrival) / .seconds(1) }

    /// Tokens it has in pages at most: the last one drawn is never computed.
    var longest: Int { promptCount + max(1, maxTokens) - 1 }

    var generated: Int { tokens.count - promptCount }
}
