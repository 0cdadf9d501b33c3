import Text

/// FastGen: each KV head keeps the cheapest set of a prompt's slots that holds most of its attention (Ge et al. 2023, "Model Tells You
/// What to Discard: Adaptive KV Cache Compression for LLMs", section 3).
///
/// The sets, in their order, the last of which is every slot:
///
///     special tokens
///     and punctuation
///     and the slots with the most attention among the others, 30 % of the prompt
///     and the newest 30 % of the prompt, among which the former are not counted
///
/// A set recovers the mean over queries and the group's heads of the attention to the slots that a query would see of it, where the newest
/// slots are those before the query. The first set that recovers at least `--kv-recovery` is kept: 95 %, and 30 % each, the
/// paper's numbers. Departure: tokens behind the prompt are all kept, which the paper's sets go on to sort.
///
/// It has no budget: how many slots a head keeps is known only at the decision, so that pages of the whole prompt are reserved.
struct FastGen: EvictionPolicy {
    let name = "fastgen"
    let options: Set<EvictionOption> = [.recovery]
    let inputs: RetentionInputs = [.mass, .rows, .tokens]
    let decidesBehindPrompt = false
    let scoresHeadsAlike = true
    private(set) var recovery = 0.95
    /// Shares of the prompt: slots by their attention, and the newest.
    private let frequent = 0.3, local = 0.3

    mutating func set(_ settings: EvictionSettings) {
        recovery = settings.recovery.map { $0.percent / 100 } ?? recovery
    }

    /// Makes the policy keep every slot.
    mutating func keepAll() {
        // No set but the last recovers more than there is.
        recovery = 2
    }

    /// The newest tokens of a prompt, a query's own among them.
    private func newest(_ prompt: Int) -> Int { max(1, Int(local * Double(prompt))) }

    /// The attention that the newest tokens before a query do not get.
    func weigh(_ weights: inout [Float], of query: ObservedQuery) {
        let first = query.position - newest(query.prompt) + 1
        for slot in weights.indices where query.position(ofSlot: slot) >= first { weights[slot] = 0 }
    }

    func scores(_ stream: StreamState) -> [[Double]] { preconditionFailure("FastGen keeps slots without scores") }

    /// The slots of the prompt that each KV head keeps, ascending.
    func retained(_ stream: StreamState, _ classes: TokenClasses) -> [[Int]] {
        let ids = stream.ids
        let isSpecial = ids.map { classes.isSpecial($0) }
        let isMark = zip(ids, isSpecial).map { $1 || classes.isPunctuation($0) }
        return (0..<stream.kvHeads).map { head in
            let mass = stream.mass[head].map { Double($0) }
            let distant = stream.weighed[head].map { Double($0) }
            let total = mass.reduce(0, +)
            let slots = mass.indices
            func recovers(_ kept: [Int], beside near: Double = 0, _ mass: [Double]) -> Bool {
                near + kept.reduce(0) { $0 + mass[$1] } >= recovery * total
            }
            func withFrequent(_ kept: [Int], among others: [Int]) -> [Int] {
                let count = Int((frequent * Double(slots.count)).rounded(.up))
                return (kept + others.sorted { (-mass[$0], $0) < (-mass[$1], $1) }.prefix(count)).sorted()
            }
            let special = slots.filter { isSpecial[$0] }
            if recovers(special, mass) { return special }
            let marks = slots.filter { isMark[$0] }
            if recovers(marks, mass) { return marks }
            let others = slots.filter { !isMark[$0] }
            let heavy = withFrequent(marks, among: others)
            if recovers(heavy, mass) { return heavy }
            let first = slots.count - newest(stream.prompt)
            let before = withFrequent(marks, among: others.filter { $0 < first })
            if recovers(before, beside: total - distant.reduce(0, +), distant) {
                return before.filter { $0 < first } + Array(max(0, first)..<slots.count)
            }
            return Array(slots)
        }
    }
}

/// The kinds of a model's tokens.
struct TokenClasses: Sendable {
    /// Whether a token is special, such as the tokenizer's beginning and end of a text.
    var isSpecial: @Sendable (Int32) -> Bool
    /// Whether a token is punctuation: its text without white space is punctuation alone.
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
