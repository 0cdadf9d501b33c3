import Kernels
import Models
import Text

/// An eviction policy: decides which slots of a stream are kept, a stream being the cache of one layer with its own keys and
/// values.
///
/// A slot is a stored token; slots and tokens are equal in number until some are evicted. A retention sees positions, attention
/// mass and decoded vectors, never pages. Its decisions depend on numbers of tokens alone: the retained set does not depend on
/// chunks, on the rest of the batch or on preemption, up to rounding of the attention mass.
public protocol Retention: Sendable {
    /// The name in flags, recipes and reports.
    var name: String { get }
    /// How the pages of evicted slots become free.
    var release: SlotRelease { get }
    /// The inputs of decisions beside positions.
    var inputs: RetentionInputs { get }
    /// The merge of evicted slots into kept ones; nil where evicted slots are dropped.
    var merge: (any SlotMerge)? { get }
    /// Whether kept slots keep their attention mass behind a decision; otherwise it is summed anew from 0.
    var accumulates: Bool { get }
    /// The number of tokens above `tokens` of the next decision, for a sequence with a prompt of `prompt` tokens; nil where none
    /// follows.
    func nextDecision(after tokens: Int, prompt: Int) -> Int?
    /// The KV heads among which a budget of slots is divided.
    var budgetScope: BudgetScope { get }
    /// The most slots that the decision at `tokens` keeps of a KV head, on average over the heads that share a budget.
    func mostRetained(at tokens: Int, prompt: Int) -> Int
    /// The tokens among `tokens`, none of which is behind the next decision, whose queries are observed: their attention mass and
    /// the statistics of the queries themselves, as ``inputs`` says.
    func observed(_ tokens: Range<Int>, prompt: Int) -> Range<Int>
    /// Turns the attention weights of an observed query into summands of its slots, where ``inputs`` has
    /// ``RetentionInputs/rows``.
    func weigh(_ weights: inout [Float], of query: ObservedQuery)
    /// The second pass over a prompt before the decision at its end; nil where decisions go by one pass.
    var reconstruction: Reconstruction? { get }
    /// The retention for a model with `tokenizer`, in whose tokens the instruction of a ``reconstruction`` is written.
    func instructed(by tokenizer: any Tokenizer) -> Self
    /// The retained set of a stream at a decision.
    func retained(_ stream: StreamState) -> RetainedSlots
    /// The retained sets of the streams that decide together: those of all layers where ``budgetScope`` is the model, else one.
    func retained(_ streams: [StreamState]) -> [RetainedSlots]
    /// The retention of stream `index` of the `count` that the model's layers without a window have.
    func stream(_ index: Int, of count: Int) -> any Retention
    /// The retention of KV head `index` of the stream that this is the retention of, where ``budgetScope`` is ``BudgetScope/own``.
    func head(_ index: Int) -> any Retention
    /// Throws where the retention cannot act on a model of `config`.
    func check(_ config: ModelConfig) throws(InferenceError)
    /// Throws where the retention cannot act on sequences of a model of `config` whose prompt has `prompt` tokens.
    func check(_ config: ModelConfig, prompt: Int) throws(InferenceError)
    /// Throws where the retention is made for another model than `model`.
    func check(_ model: ServingModel) throws(InferenceError)
    /// Throws where a prefix cannot be compressed once for all requests that begin with it: where nothing is evicted, or slots are scored
    /// by queries, as the requests' own come later.
    func checkSharedPrefixes() throws(InferenceError)
    /// The most pages of `size` slots that a stream holds until the sequence has `tokens`, computed in chunks of at most `chunk`.
    ///
    /// Monotonic in `tokens`: room for a long sequence is room for each beginning of it.
    func mostPages(tokens: Int, chunk: Int, slotsPerPage size: Int) -> Int
}

/// The KV heads among which a budget of slots is divided.
public enum BudgetScope: Sendable {
    /// Each KV head has the budget: all heads of a layer keep equally many slots.
    case head
    /// Each KV head has a retention of its own (``Retention/head(_:)``), which decides for it alone.
    case own
    /// The KV heads of a layer share the sum of their budgets.
    case layer
    /// All KV heads of all layers without a window do, and decide together.
    case model
}

/// How the pages of evicted slots become free.
public enum SlotRelease: Sendable {
    /// Pages without a retained slot are released; the other slots stay in place, and attention masks the evicted ones.
    case pages
    /// Retained slots are packed to the front and the pages behind them released.
    case compaction
}

/// The inputs of decisions beside positions.
public struct RetentionInputs: OptionSet, Sendable {
    public let rawValue: Int

    /// The set of the inputs with these bits.
    public init(rawValue: Int) { self.rawValue = rawValue }

    /// The attention mass of each slot.
    public static let mass = RetentionInputs(rawValue: 1)
    /// The slots' keys, rotated at their own positions.
    public static let keys = RetentionInputs(rawValue: 2)
    /// The slots' values.
    public static let values = RetentionInputs(rawValue: 4)
    /// Mean and covariance of the queries before rotation.
    public static let queries = RetentionInputs(rawValue: 8)
    /// The sums of the summands that ``Retention/weigh(_:of:)`` makes of each observed query's attention weights.
    public static let rows = RetentionInputs(rawValue: 16)
    /// The ids of the prompt's tokens, at the decision at its end.
    public static let tokens = RetentionInputs(rawValue: 32)
}

/// The state of a stream at a decision.
public struct StreamState: Sendable {
    /// Tokens of the sequence and of its prompt.
    public var tokens: Int, prompt: Int
    /// The stream's number among the model's.
    public var index = 0
    /// KV heads, and slots of each; where these are unequal, of the head with the most.
    public var kvHeads: Int, slots: Int
    /// Positions of the slots of each KV head, ascending; empty where slot i holds token i.
    public var positions: [[Int32]]
    /// The attention mass of the slots of each KV head, summed over observed queries and the query heads of the group; empty where
    /// the retention needs none.
    public var mass: [[Float]]
    /// The same for the summands of ``Retention/weigh(_:of:)``.
    public var weighed: [[Float]] = []
    /// The ids of the prompt's tokens; empty where the retention needs none.
    public var ids: [Int32] = []
    /// The keys and the values [slots, dim] of each KV head; empty where the retention needs none.
    public var keys: [[Float]] = [], values: [[Float]] = []
    /// The observed queries; nil where the retention needs none.
    public var queries: QueryStatistics?
    /// The greatest attention weight of each slot of each KV head in the ``Retention/reconstruction``; empty where there was none.
    public var peaks: [[Float]] = []

    /// A stream of `slots` slots in each KV head.
    public init(tokens: Int, prompt: Int, kvHeads: Int, slots: Int, positions: [[Int32]], mass: [[Float]]) {
        (self.tokens, self.prompt, self.kvHeads, self.slots) = (tokens, prompt, kvHeads, slots)
        (self.positions, self.mass) = (positions, mass)
    }

    /// Slots of a head.
    public func slots(head: Int) -> Int { positions.isEmpty ? slots : positions[head].count }

    /// The position of the token in a slot of a head.
    public func position(_ slot: Int, head: Int) -> Int { positions.isEmpty ? slot : Int(positions[head][slot]) }
}

/// A retained set: the indices of the slots kept, ascending.
public enum RetainedSlots: Sendable {
    /// The same slots in every head.
    case ranges([Range<Int>])
    /// Slots of each KV head, equally many in all but where heads have pages of their own.
    case heads([[Int]])
}

extension Retention {
    public var inputs: RetentionInputs { [] }
    public var accumulates: Bool { true }
    public var merge: (any SlotMerge)? { nil }
    public var release: SlotRelease { .compaction }
    public var budgetScope: BudgetScope { .head }

    public func observed(_ tokens: Range<Int>, prompt: Int) -> Range<Int> { tokens }
    public func weigh(_ weights: inout [Float], of query: ObservedQuery) {}
    public var reconstruction: Reconstruction? { nil }
    public func instructed(by tokenizer: any Tokenizer) -> Self { self }
    public func retained(_ streams: [StreamState]) -> [RetainedSlots] { streams.map { retained($0) } }
    public func stream(_ index: Int, of count: Int) -> any Retention { self }
    public func head(_ index: Int) -> any Retention { self }

    /// The retentions of the `count` KV heads of the stream that this is the retention of.
    func heads(_ count: Int) -> [any Retention] { (0..<count).map { budgetScope == .own ? head($0) : self } }

    public func check(_ config: ModelConfig) throws(InferenceError) {}
    public func check(_ config: ModelConfig, prompt: Int) throws(InferenceError) {}
    public func check(_ model: ServingModel) throws(InferenceError) {}
    public func checkSharedPrefixes() throws(InferenceError) { throw .noSharedPrefixes(policy: nil) }

    /// Throws where the retention cannot act on a model of `config` whose keys and values are stored in `encoding`: slots of blocks
    /// that are encoded together in some layer cannot be evicted one by one.
    public func check(_ config: ModelConfig, _ encoding: CacheEncoding) throws(InferenceError) {
        try check(config)
        let blocked = config.kvGeometry(encoding).map(\.encoding).first { $0.blockTokens > 1 }
        if let blocked, !(self is FullRetention) {
            throw .blocksWithEviction(encoding: blocked.name, tokens: blocked.blockTokens, policy: name)
        }
    }

    /// The pages of the most slots, just before a decision or at the end, and the pages that a compaction writes to.
    public func mostPages(tokens: Int, chunk: Int, slotsPerPage size: Int) -> Int { mostPages(tokens: tokens, sharedBy: [size]) }

    /// The same of several streams that share a budget, with `sizes` slots a page.
    func mostPages(tokens: Int, sharedBy sizes: [Int]) -> Int {
        var (held, at, peak, kept) = (0, 0, 0, 0)
        func pages(_ slots: Int, at tokens: Int) -> Int { sizes.mostPages(of: slots * sizes.count, atMost: tokens) }
        while let next = nextDecision(after: at, prompt: tokens), next <= tokens {
            peak = max(peak, pages(held + next - at, at: next))
            held = min(held + next - at, mostRetained(at: next, prompt: tokens))
            kept = max(kept, pages(held, at: next))
            at = next
        }
        return max(peak, pages(held + tokens - at, at: tokens)) + kept
    }
}

extension [Int] {
    /// The most pages of `slots` slots, divided in any way among streams with these numbers of slots a page, each at most `limit`.
    ///
    /// A stream's first slot takes a page, and every page's worth behind it another:
    ///
    ///     two streams of 4 slots a page, 10 slots: 1 + 9, 5 + 5 or 9 + 1 take four pages, 4 + 6 three
    func mostPages(of slots: Int, atMost limit: Int) -> Int {
        let each = Swift.min(slots, limit)
        let full = reduce(0) { $0 + (each + $1 - 1) / $1 }
        guard slots > count, let least = self.min() else { return Swift.min(full, slots) }
        return Swift.min(full, count + (slots - count) / least)
    }
}

/// Keeps every slot.
public struct FullRetention: Retention {
    public let name = "full"

    /// A retention that never evicts.
    public init() {}

    public func nextDecision(after tokens: Int, prompt: Int) -> Int? { nil }
    public func mostRetained(at tokens: Int, prompt: Int) -> Int { tokens }
    public func retained(_ stream: StreamState) -> RetainedSlots { .ranges([0..<stream.slots]) }
}
