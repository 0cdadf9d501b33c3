/// The length of an uptraining.
public enum UptrainLength: Sendable, Hashable {
    /// A share of the parent's training.
    case alpha(Double)
    /// Optimizer steps.
    case steps(Int)
    /// Tokens, of which the nearest number of whole steps is made.
    case tokens(Int)

    /// The length of an uptraining that says none: 5 % of the parent's training (Ainslie et al. 2023, GQA, section 3.1).
    public static let standard = UptrainLength.alpha(standardShare)
    /// The share that ``standard`` is.
    static let standardShare = 0.05

    /// Its unit, as recipes name it.
    public var key: String {
        switch self {
        case .alpha: "alpha"
        case .steps: "steps"
        case .tokens: "tokens"
        }
    }

    /// The share of the parent's training; nil where the length doesn't depend on it.
    public var alpha: Double? {
        guard case .alpha(let share) = self else { return nil }
        return share
    }

    /// A short name for folders: a0.05, n100, t300000.
    public var label: String {
        switch self {
        case .alpha(let share): "a\(share)"
        case .steps(let count): "n\(count)"
        case .tokens(let count): "t\(count)"
        }
    }

    /// The optimizer steps of `stepTokens` tokens that it comes to, at least one; nil for a share of a training of unknown length.
    ///
    /// - Parameter parent: steps of the parent's training, nil where they are not known.
    public func steps(ofParent parent: Int?, stepTokens: Int) -> Int? {
        switch self {
        case .alpha(let share): parent.map { max(1, Int((share * Double($0)).rounded())) }
        case .steps(let count): count
        case .tokens(let count): Self.steps(tokens: count, stepTokens: stepTokens)
        }
    }

    /// The reason why two of `lengths`, ascending, are one; nil where they differ or can't be told apart without the parent's steps.
    public static func repetition(in lengths: [UptrainLength], ofParent parent: Int?, stepTokens: Int) -> String? {
        for (shorter, longer) in zip(lengths, lengths.dropFirst()) {
            guard let steps = longer.steps(ofParent: parent, stepTokens: stepTokens),
                shorter.steps(ofParent: parent, stepTokens: stepTokens) == steps
            else { continue }
            switch (shorter, longer) {
            case (.alpha(let a), .alpha(let b)): return "\(a) and \(b) of \(parent ?? 0) steps are both \(steps) steps"
            case (.tokens(let a), .tokens(let b)):
                return "\(a) and \(b) tokens in steps of \(stepTokens) are both \(steps) steps"
            default: return "two lengths are both \(steps) steps"
            }
        }
        return nil
    }

    /// The steps of `stepTokens` tokens nearest to `tokens`, at least one.
    public static func steps(tokens: Int, stepTokens: Int) -> Int {
        max(1, Int((Double(tokens) / Double(max(stepTokens, 1))).rounded()))
    }
}

extension UptrainLength: Encodable {
    /// The value alone; its key is ``key``.
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .alpha(let share): try container.encode(share)
        case .steps(let count), .tokens(let count): try container.encode(count)
        }
    }
}

extension ObjectReader {
    /// The length by the given one of `alpha`, `steps` and `tokens`; nil for none.
    func uptrainLength() throws(RecipeError) -> UptrainLength? {
        let found: [UptrainLength?] = [
            try double("alpha").map { .alpha($0) }, try int("steps").map { .steps($0) }, try int("tokens").map { .tokens($0) },
        ]
        return try single(found.compactMap { $0 }.map { ($0.key, $0) })
    }

    /// The value of the one key that is given; nil for none.
    func single<Value>(_ given: [(key: String, value: Value)]) throws(RecipeError) -> Value? {
        if let (other, second) = given.dropFirst().first.map({ (given[0].key, $0.key) }) {
            throw impossible(at: second, "the length is given by '\(other)' already; leave one of them out")
        }
        return given.first?.value
    }
}
