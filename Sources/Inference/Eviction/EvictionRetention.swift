import Models
import Text

/// A retention by an ``EvictionPolicy``: each KV head of a stream keeps its attention sinks, its newest tokens and the slots with
/// the highest scores, as many in all as the budget says, or as its part of the heads' common budget.
///
/// Prompts are computed over their whole cache. Decisions fall at the prompt's end and, where the policy goes on, every
/// `interval` tokens behind it; without a prompt, at the multiples of the interval. A layer has `budget` to `budget + interval`
/// slots from then on. Where a sequence is no longer than the budget nothing is decided, and nothing changes.
public struct EvictionRetention: Retention {
    /// Tokens between decisions, unless given or the policy's own.
    public static let interval = 128

    let policy: any EvictionPolicy
    /// The budget, the mean over layers.
    public let budget: EvictionBudget
    let sinks: Int
    /// The newest tokens kept, where given.
    private let recent: Int?
    let allocation: BudgetAllocation
    public let merge: (any SlotMerge)?
    private let settings: EvictionSettings
    private var layer = 0, layers = 1
    /// The KV head of the layer that this is the retention of; nil where all of its heads are.
    private var head: Int?
    /// The order of heads that are kept whole; nil for policies that score slots.
    private let ranking: HeadRanking?
    /// The instruction of the policy's reconstruction; nil as long as no tokenizer is known.
    var instruction: RepeatInstruction?
    /// The kinds of tokens that the policy goes by; nil as long as no tokenizer is known.
    var classes: TokenClasses?

    /// The retention by `policy`, which has the `settings` already.
    ///
    /// Throws ``InferenceError/optionTooSmall(_:value:least:reason:)`` where the budget leaves no slot to the scores.
    ///
    /// Precondition: a ``HeadPolicy`` has a ranking.
    init(
        _ policy: any EvictionPolicy, budget: EvictionBudget, merge: (any SlotMerge)? = nil, settings: EvictionSettings,
        ranking: HeadRanking? = nil
    ) throws(InferenceError) {
        precondition(policy is any HeadPolicy == (ranking != nil), "EvictionRetention: a ranking is for policies of heads")
        (self.policy, self.budget, self.merge, self.settings, self.ranking) = (policy, budget, merge, settings, ranking)
        sinks = settings.sinks ?? policy.sinks
        recent = settings.recent
        allocation = settings.allocation ?? policy.allocation
        guard case .tokens(let tokens) = budget, tokens < least(of: tokens) else { return }
        throw .optionTooSmall(
            EvictionOption.budget.flag, value: tokens, least: least(of: tokens),
            reason: "'\(policy.name)' keeps \(sinks) sinks and the newest \(newest(of: tokens)), and one more")
    }

    public var name: String { policy.name }
    public var inputs: RetentionInputs { merge.map { policy.inputs.union($0.inputs).union(.values) } ?? policy.inputs }
    public var accumulates: Bool { policy.accumulates }
    /// Whether decisions fall at a prompt's end alone, or the budget is a share of one.
    public var needsPrompt: Bool {
        if case .share = budget { return true }
        return !policy.decidesBehindPrompt || allocation.needsPrompt || ranking != nil
    }

    public func checkSharedPrefixes() throws(InferenceError) {
        guard policy.isQueryAgnostic else { throw .noSharedPrefixes(policy: name) }
    }

    /// The same policy with another budget and, where given, interval.
    func with(budget: EvictionBudget, interval: Int? = nil) throws(InferenceError) -> EvictionRetention {
        var settings = settings
        settings.interval = interval ?? settings.interval
        var copy = try EvictionRetention(policy, budget: budget, merge: merge, settings: settings, ranking: ranking)
        (copy.instruction, copy.classes) = (instruction, classes)
        return copy
    }

    /// Whether the number of slots kept is known before they are; otherwise it is at most the prompt's.
    var hasBudget: Bool { !(policy is FastGen) }

    /// The same policy with everything kept of `tokens` tokens.
    func keepingAll(of tokens: Int) throws(InferenceError) -> EvictionRetention {
        guard var policy = policy as? FastGen else { return try with(budget: .tokens(2 * tokens + leastBudget)) }
        policy.keepAll()
        var copy = try EvictionRetention(policy, budget: budget, merge: merge, settings: settings)
        copy.classes = classes
        return copy
    }

    /// The least budget of this policy and these settings.
    var leastBudget: Int { (1...).first { least(of: $0) <= $0 } ?? 1 }

    private func newest(of budget: Int) -> Int { recent ?? policy.newest(of: budget) }

    /// The least budget: the slots kept without a score, and one more.
    private func least(of budget: Int) -> Int { sinks + newest(of: budget) + 1 }

    /// Slots of this layer, or of a head that is not whole, behind a prompt of `prompt` tokens; a share of a short prompt is raised to
    /// the least budget.
    func slots(prompt: Int) -> Int {
        guard hasBudget else { return prompt }
        guard ranking == nil else { return sinks + newest(of: 0) }
        let mean = budget.slots(prompt: prompt)
        let whole = mean < Double(Int32.max) ? Int(mean) : Int(Int32.max)
        let guarded = sinks + newest(of: whole)
        guard whole > guarded, whole < Int(Int32.max) else { return max(whole, least(of: whole)) }
        return allocation.slots(mean: mean, guarded: guarded, layer: layer, layers: layers, prompt: prompt)
    }

    public func nextDecision(after tokens: Int, prompt: Int) -> Int? {
        // Nothing was said of a prompt: all tokens are one.
        guard prompt < .max, !isWhole(prompt: prompt) else { return nil }
        guard hasBudget else { return tokens < prompt ? prompt : nil }
        let slots = slots(prompt: prompt)
        if prompt > tokens, prompt > slots { return prompt }
        guard policy.decidesBehindPrompt else { return nil }
        let interval = settings.interval ?? policy.interval(of: slots)
        return prompt + (max(tokens, slots, prompt) - prompt) / interval * interval + interval
    }

    public func mostRetained(at tokens: Int, prompt: Int) -> Int {
        isWhole(prompt: prompt) ? tokens : min(tokens, slots(prompt: prompt))
    }

    public func observed(_ tokens: Range<Int>, prompt: Int) -> Range<Int> {
        guard let decision = nextDecision(after: tokens.lowerBound, prompt: prompt) else {
            return tokens.lowerBound..<tokens.lowerBound
        }
        return (policy.firstObserved(before: decision)..<decision).clamped(to: tokens)
    }

    public func weigh(_ weights: inout [Float], of query: ObservedQuery) { policy.weigh(&weights, of: query) }

    public func retained(_ stream: StreamState) -> RetainedSlots {
        if let policy = policy as? FastGen {
            guard let classes else { preconditionFailure("EvictionRetention: '\(name)' knows no tokenizer") }
            return .heads(policy.retained(stream, classes))
        }
        guard budgetScope == .head || budgetScope == .own else { return retained([stream])[0] }
        let budget = slots(prompt: stream.prompt)
        guard stream.slots > budget else { return .ranges([0..<stream.slots]) }
        return .heads(
            policy.scores(stream).enumerated().map { head, scores in
                let (guarded, ranked) = ranked(stream, head: head, scores, budget: budget)
                return (guarded + ranked.prefix(budget - guarded.count)).sorted()
            })
    }

    /// The slots of a head that are kept without a score, and the others, the highest `scores` first.
    func ranked(_ stream: StreamState, head: Int, _ scores: [Double], budget: Int) -> (guarded: [Int], ranked: [Int]) {
        let newest = stream.tokens - min(newest(of: budget), budget - sinks)
        var (guarded, ranked) = ([Int](), [Int]())
        for slot in 0..<stream.slots(head: head) {
            let position = stream.position(slot, head: head)
            if position < sinks || position >= newest { guarded.append(slot) } else { ranked.append(slot) }
        }
        ranked.sort { (-scores[$0], $0) < (-scores[$1], $1) }
        return (guarded, ranked)
    }

    public var reconstruction: Reconstruction? {
        policy.reconstructedChunk.map { Reconstruction(chunk: $0, sinks: sinks, instruction: instruction) }
    }

    /// Whether decisions go by the tokenizer.
    public var needsTokenizer: Bool { reconstruction != nil || inputs.contains(.tokens) }

    public func instructed(by tokenizer: any Tokenizer) -> EvictionRetention {
        var copy = self
        if reconstruction != nil { copy.instruction = RepeatInstruction(tokenizer) }
        if inputs.contains(.tokens) { copy.classes = TokenClasses(tokenizer) }
        return copy
    }

    /// Throws where a prompt of `prompt` tokens is longer than the budget, and a reconstruction finds no positions behind it.
    public func check(_ config: ModelConfig, prompt: Int) throws(InferenceError) {
        guard let reconstruction, nextDecision(after: 0, prompt: prompt) != nil else { return }
        guard reconstruction.room(prompt: prompt, positions: config.maxSequence) == nil else { return }
        throw .noRoomToRepeat(policy: name, prompt: prompt, positions: config.maxSequence)
    }

    public func stream(_ index: Int, of count: Int) -> any Retention {
        var copy = self
        (copy.layer, copy.layers) = (index, count)
        return copy
    }

    public func head(_ index: Int) -> any Retention {
        var copy = self
        copy.head = index
        return copy
    }

    /// Whether this head keeps every slot behind a prompt of `prompt` tokens: of n heads those with the first places, as many as
    ///
    ///     whole · prompt + (n − whole) · (sinks + newest) ≤ n · budget
    private func isWhole(prompt: Int) -> Bool {
        guard let ranking, let head else { return false }
        let (few, mean) = (slots(prompt: prompt), budget.slots(prompt: prompt))
        guard prompt > few else { return true }
        // Exact where a share of the prompt leaves room for a whole number of heads, but for rounding.
        let whole = Double(ranking.count) * (mean - Double(few)) / Double(prompt - few) + 1e-9
        return whole >= 1 && ranking.isAmong(first: Int(min(whole, Double(ranking.count))), layer: layer, head: head)
    }

    /// A head that is whole behind one prompt may not be behind another.
    public func mostPages(tokens: Int, chunk: Int, slotsPerPage size: Int) -> Int {
        guard ranking != nil else { return mostPages(tokens: tokens, sharedBy: [size]) }
        let few = slots(prompt: tokens)
        return (tokens + size - 1) / size + (tokens > few ? (few + size - 1) / size : 0)
    }

    /// Throws where the policy goes by heads of another model.
    public func check(_ model: ServingModel) throws(InferenceError) {
        if let ranking { try ranking.scores.check(model.identity, path: ranking.path) }
    }

    /// Throws where every layer has a window of its own, behind which nothing is left to evict, or where the policy goes by one
    /// layer's queries and layers share their caches.
    public func check(_ config: ModelConfig) throws(InferenceError) {
        let geometry = config.kvGeometry(.float32)
        if geometry.allSatisfy({ $0.window != nil }) {
            throw .policyWithoutLayers(policy: name, reason: "every layer of the model has a sliding window already")
        }
        if let ranking { try ranking.scores.check(config, path: ranking.path) }
        if let merge, geometry.contains(where: \.valuesAreKeys) {
            throw .policyWithoutLayers(policy: merge.name, reason: "its latents are keys and values at once")
        }
        if inputs.contains(.queries), geometry.contains(where: { $0.source != nil && $0.window == nil }) {
            throw .policyWithoutLayers(
                policy: name, reason: "it goes by the queries of one layer, and layers of the model share their caches")
        }
    }
}
