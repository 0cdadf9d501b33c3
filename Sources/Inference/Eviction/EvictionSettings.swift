/// The settings of an eviction as a user gives them, in flags or in a recipe; nil where nothing was said.
public struct EvictionSettings: Sendable, Hashable {
    /// The policy's name.
    public var policy: String?
    /// Slots that each KV head of a layer keeps.
    public var budget: EvictionBudget?
    /// First tokens kept without a score (attention sinks).
    public var sinks: Int?
    /// Newest tokens kept without a score.
    public var recent: Int?
    /// Queries before the prompt's end whose attention scores the slots, and whose own slots are kept.
    public var window: Int?
    /// The pooling of scores along the sequence.
    public var pool: ScorePool?
    /// Tokens between decisions behind the prompt.
    public var interval: Int?
    /// Positions behind the prompt that queries are expected at.
    public var future: Int?
    /// The division of budgets among layers and heads.
    public var allocation: BudgetAllocation?
    /// The name of the merge of evicted slots into kept ones.
    public var merge: String?
    /// The path of a file of ``HeadScores``.
    public var scores: String?
    /// Scores of the heads of one model that were measured for it, in place of a file; no setting that anyone writes.
    var measured: HeadScores?
    /// The share of the attention that kept slots recover.
    public var recovery: AttentionShare?
    /// Seed of random choices.
    public var seed: UInt64?

    /// No settings.
    public init() {}

    /// The settings given, in the order of ``CacheSetting/eviction``, with their values as texts.
    var given: [(setting: CacheSetting, text: String)] {
        CacheSetting.eviction.compactMap { setting in setting.text(self).map { (setting, $0) } }
    }

    /// The retention that the settings describe; one that keeps every slot where they name no policy.
    ///
    /// Throws ``InferenceError`` where a policy is unknown, lacks its budget or has too small a one, where an option means
    /// nothing to it, or where a file of scores is none.
    public func retention() throws(InferenceError) -> any Retention {
        let options = given.compactMap { setting, text in EvictionOption(rawValue: setting.key).map { ($0, setting, text) } }
        let own = options.filter { !$0.0.isGeneral }
        guard let policy else {
            if let (option, _, _) = own.first ?? options.first { throw .optionWithoutPolicy(option: option.flag) }
            return FullRetention()
        }
        guard var found = EvictionPolicies.all.first(where: { $0.name == policy }) else { throw .noPolicy(policy) }
        let recovers = found is FastGen
        guard budget == nil || !recovers else { throw .foreignOption(EvictionOption.budget.flag, policy: policy) }
        guard let budget = recovers ? .share(100) : budget else { throw .noBudget(policy: policy) }
        let merge = try slotMerge()
        for (option, setting, text) in own {
            guard found.options.contains(option) || option == .seed && merge?.isRandom == true else {
                throw .foreignOption(option.flag, policy: [policy, merge?.name].compactMap(\.self).joined(separator: " + "))
            }
            guard case .integer(let range) = setting.kind, let value = Int(text), value < range.lowerBound else { continue }
            throw .optionTooSmall(option.flag, value: value, least: range.lowerBound, reason: "")
        }
        // Policies without a budget and whole heads leave nothing to divide.
        let isUndivided = recovers || found is any HeadPolicy
        if let allocation, isUndivided ? allocation != .uniform : allocation.scope != .head && found.scoresHeadsAlike {
            throw .foreignOption("\(EvictionOption.allocation.flag) \(allocation.rawValue)", policy: policy)
        }
        found.set(self)
        return try EvictionRetention(found, budget: budget, merge: merge, settings: self, ranking: ranking(of: found))
    }

    /// The order in which a policy of heads keeps these whole, from its file or a measurement; nil for other policies.
    private func ranking(of policy: any EvictionPolicy) throws(InferenceError) -> HeadRanking? {
        guard let policy = policy as? any HeadPolicy else { return nil }
        if let measured { return try HeadRanking(measured, path: "the measurement of heads", policy) }
        guard let scores else { throw .noHeadScores(policy: policy.name) }
        return try HeadRanking(HeadScores(path: scores), path: scores, policy)
    }

    /// The merge, where one is named.
    private func slotMerge() throws(InferenceError) -> (any SlotMerge)? {
        guard let merge else { return nil }
        guard var found = SlotMerges.all.first(where: { $0.name == merge }) else { throw .noMerge(merge) }
        found.set(seed: seed ?? 0)
        return found
    }
}

/// An option of evictions, which ``CacheSetting`` declares under its raw value.
public enum EvictionOption: String, Sendable, Hashable, CaseIterable {
    case budget, sinks, recent, window, pool, interval, future, merge, scores, recovery, seed
    case allocation = "allocate"

    /// The flag on the command line.
    public var flag: String { "--kv-" + rawValue }

    /// Whether it applies to every policy.
    var isGeneral: Bool { self == .budget || self == .allocation || self == .merge }
}

/// A budget of slots: a number, or a share of the prompt.
public enum EvictionBudget: Sendable, Hashable, LosslessStringConvertible {
    case tokens(Int)
    /// Percent of the prompt, above 0 and at most 100.
    case share(Double)

    /// The budget that `text` spells, such as 512 or 25%; nil for anything else.
    public init?(_ text: String) {
        if text.hasSuffix("%") {
            guard let percent = Double(text.dropLast()), percent > 0, percent <= 100 else { return nil }
            self = .share(percent)
        } else {
            guard let tokens = Int(text), tokens >= 1 else { return nil }
            self = .tokens(tokens)
        }
    }

    /// Slots for a prompt of `prompt` tokens, before rounding.
    func slots(prompt: Int) -> Double {
        switch self {
        case .tokens(let tokens): Double(tokens)
        case .share(let percent): Double(prompt) * percent / 100
        }
    }

    /// The text that ``init(_:)`` reads.
    public var description: String {
        switch self {
        case .tokens(let tokens): "\(tokens)"
        case .share(let percent):
            percent == percent.rounded() ? "\(Int(percent))%" : "\(percent)%"
        }
    }
}

/// A share of the attention.
public struct AttentionShare: Sendable, Hashable, LosslessStringConvertible {
    /// Percent, above 0 and at most 100.
    public let percent: Double

    /// The share that `text` spells, such as 95%; nil for anything else.
    public init?(_ text: String) {
        guard text.hasSuffix("%"), let percent = Double(text.dropLast()), percent > 0, percent <= 100 else { return nil }
        self.percent = percent
    }

    /// The text that ``init(_:)`` reads.
    public var description: String { EvictionBudget.share(percent).description }
}

/// A pooling of scores along the sequence, zeros before and behind it (a window at the edge is divided by its whole width).
public enum ScorePool: Sendable, Hashable, LosslessStringConvertible {
    case average(Int)
    case max(Int)

    /// The pooling that `text` spells: an odd width for the average, such as 5, or max and a width, such as max7.
    public init?(_ text: String) {
        let isMax = text.hasPrefix("max")
        guard let width = Int(isMax ? text.dropFirst(3) : text[...]), width >= 1, width % 2 == 1 else { return nil }
        self = isMax ? .max(width) : .average(width)
    }

    /// The text that ``init(_:)`` reads.
    public var description: String {
        switch self {
        case .average(let width): "\(width)"
        case .max(let width): "max\(width)"
        }
    }

    /// The pooled scores.
    func apply(_ scores: ArraySlice<Double>) -> [Double] {
        let width =
            switch self {
            case .average(let width), .max(let width): width
            }
        return scores.indices.map { index in
            let seen = scores[Swift.max(scores.startIndex, index - width / 2)..<min(scores.endIndex, index + width / 2 + 1)]
            switch self {
            case .average: return seen.reduce(0, +) / Double(width)
            case .max: return seen.max() ?? 0
            }
        }
    }
}
