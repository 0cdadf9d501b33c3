import Text

/// A policy without a budget: each KV head keeps as many slots of a prompt as recover its attention.
///
/// Nothing is known of their number before, so that pages of the whole prompt are counted and reserved for every head.
protocol RecoveringPolicy: EvictionPolicy {
    /// The slots of the prompt that each KV head keeps, ascending.
    func retained(_ stream: StreamState, _ classes: TokenClasses) -> [[Int]]
    /// Makes the policy keep every slot.
    mutating func keepAll()
}

extension RecoveringPolicy {
    var decidesBehindPrompt: Bool { false }
    var scoresHeadsAlike: Bool { true }
    func scores(_ stream: StreamState) -> [[Double]] { preconditionFailure("'\(name)' keeps slots without scores") }
}

/// The kinds of a model's tokens.
struct TokenClasses: Sendable {
    /// Whether a token is special: its tokenizer marks the beginning or the end of something with it.
    var isSpecial: @Sendable (Int32) -> Bool
    /// Whether a token is punctuation: without white space its text has nothing else.
    var isPunctuation: @Sendable (Int32) -> Bool
}

extension TokenClasses {
    /// The kinds of the tokens of `tokenizer`.
    init(_ tokenizer: any Tokenizer) {
        let special = tokenizer.specialIDs
        isSpecial = { special.contains($0) }
        isPunctuation = { id in
            let text = String(decoding: tokenizer.decode([id]), as: UTF8.self).filter { !$0.isWhitespace }
            return !text.isEmpty && text.allSatisfy(\.isPunctuation)
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
