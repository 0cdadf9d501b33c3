/// An eviction policy: scores the slots of a stream, of which a budget keeps the best.
///
/// ``EvictionRetention`` adds the budget, the moments of decision and the slots kept without a score. A policy is one file and a
/// line in ``EvictionPolicies``.
public protocol EvictionPolicy: Sendable {
    /// The name in flags, recipes and reports.
    var name: String { get }
    /// The options that apply to the policy, beside the budget and its allocation.
    var options: Set<EvictionOption> { get }
    /// The inputs of ``scores(_:)`` beside positions.
    var inputs: RetentionInputs { get }
    /// Whether the attention mass is summed over the whole sequence; otherwise each decision begins a new sum.
    var accumulates: Bool { get }
    /// Whether decisions go on behind the prompt's end, counted from there every ``interval(of:)`` tokens.
    var decidesBehindPrompt: Bool { get }
    /// First tokens kept without a score by default (attention sinks).
    var sinks: Int { get }
    /// The default division of budgets among layers and heads.
    var allocation: BudgetAllocation { get }
    /// The share of its budget that a head keeps where heads divide budgets by their scores under `ada` or `global`.
    var safeguard: Double { get }
    /// Tokens of a chunk of the ``Reconstruction`` that scores slots, at the prompt's end alone; nil for policies without one.
    var reconstructedChunk: Int? { get }
    /// Whether all heads of a layer have the same scores, by which they cannot divide a budget.
    var scoresHeadsAlike: Bool { get }
    /// Whether scores are of the slots alone and not of the queries that were seen, so that a prefix may be compressed for requests with
    /// different questions.
    var isQueryAgnostic: Bool { get }
    /// The newest tokens kept without a score under a budget of `budget` slots, by default.
    func newest(of budget: Int) -> Int
    /// Tokens between decisions under a budget of `budget` slots, by default.
    func interval(of budget: Int) -> Int
    /// The first of the tokens before a decision at `decision` tokens whose queries are observed.
    func firstObserved(before decision: Int) -> Int
    /// Turns the attention weights of an observed query into summands of its slots, where ``inputs`` has
    /// ``RetentionInputs/rows``.
    func weigh(_ weights: inout [Float], of query: ObservedQuery)
    /// The scores of the slots of each KV head, [kvHeads, slots]; the highest are kept, of equal ones the oldest.
    func scores(_ stream: StreamState) -> [[Double]]
    /// Takes over the settings that were given.
    mutating func set(_ settings: EvictionSettings)
}

extension EvictionPolicy {
    public var options: Set<EvictionOption> { [.sinks, .recent, .interval] }
    public var inputs: RetentionInputs { [] }
    public var accumulates: Bool { false }
    public var decidesBehindPrompt: Bool { true }
    public var sinks: Int { 0 }
    public var allocation: BudgetAllocation { .uniform }
    public var safeguard: Double { BudgetAllocation.safeguard }
    public var reconstructedChunk: Int? { nil }
    public var scoresHeadsAlike: Bool { false }
    public var isQueryAgnostic: Bool { false }
    public func newest(of budget: Int) -> Int { 0 }
    public func interval(of budget: Int) -> Int { EvictionRetention.interval }
    public func firstObserved(before decision: Int) -> Int { 0 }
    public func weigh(_ weights: inout [Float], of query: ObservedQuery) {}
    public mutating func set(_ settings: EvictionSettings) {}
}

/// The table of eviction policies. New ones are listed here.
public enum EvictionPolicies {
    /// Every policy that flags and recipes can name, with its defaults.
    public static let all: [any EvictionPolicy] = [
        StreamingLLM(), SlidingWindow(), RandomEviction(), KeyNorm(), KeyDifference(), HeavyHitters(), ObservedAttention(),
        TOVA(), Scissorhands(), Keyformer(), SnapKV(), SnapKV.pyramid, SnapKV.ada, ExpectedAttention(), KVzip(),
        DuoAttention(), RazorAttention(), FastGen(),
    ]

    /// Policies of the literature that are left out, and the reason.
    static let leftOut: [String: String] = [
        "lm-infinite":
            "it caps distances at the training length, which no sequence exceeds; streaming-llm with --kv-sinks 10 keeps its slots"
    ]

    /// The policies' names.
    public static var names: [String] { all.map(\.name) }

    /// The names of policies without a budget.
    public static var namesWithoutBudget: [String] { all.filter { $0 is FastGen }.map(\.name) }

    /// The names of policies that may compress shared prefixes.
    public static var namesOfQueryAgnostic: [String] { all.filter(\.isQueryAgnostic).map(\.name) }

    /// The names of policies of whole heads, which need a measurement of one model.
    public static var namesOfHeads: [String] { all.filter { $0 is any HeadPolicy }.map(\.name) }
}
