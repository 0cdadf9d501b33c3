/// The division of a budget among layers and KV heads.
public enum BudgetAllocation: String, Sendable, Hashable, CaseIterable, LosslessStringConvertible {
    /// Every layer the same.
    case uniform
    /// The lower a layer the more, falling in equal steps (Cai et al. 2024, PyramidKV, section 3.2), as kvpress divides it.
    case pyramid
    /// The same with the authors' totals: the pyramid is made of the budget less the slots kept without a score,
    /// which every layer then gets on top. kvpress makes it of the whole budget.
    case pyramidAuthors = "pyramid-authors"
    /// Every layer the same, which its heads divide by their scores (Feng et al. 2024, Ada-KV), as kvpress divides it.
    case ada
    /// The same with the numbers of the paper's algorithm 1: see ``division(of:among:safeguard:)``.
    case adaAuthors = "ada-authors"
    /// All heads of all layers divide their budgets by their scores: one threshold for the model, but for the safeguard of each head.
    /// Scores that add up attention weigh a layer by the query heads that share a KV head in it.
    case global

    /// The division called `text`; nil for anything else.
    public init?(_ text: String) { self.init(rawValue: text) }

    /// Its name.
    public var description: String { rawValue }

    /// The heads that divide a budget by their scores.
    var scope: BudgetScope {
        switch self {
        case .uniform, .pyramid, .pyramidAuthors: .head
        case .ada, .adaAuthors: .layer
        case .global: .model
        }
    }

    /// Whether a layer's part is a function of the prompt's length.
    var needsPrompt: Bool { self == .pyramid || self == .pyramidAuthors }

    /// The ratio of the mean budget to the highest layer's, the authors' and kvpress's β.
    private static let steepness = 20.0

    /// Slots of `layer` of `layers` for a mean budget of `mean` slots, `guarded` of which are kept without a score, behind a
    /// prompt of `prompt` tokens.
    ///
    ///     kvpress, 192 tokens, a mean of 96, 16 guarded, 2 layers:
    ///     the top layer 96/20 = 4.8, the lowest 2·96 − 4.8 = 187.2 > 192 − 16, so 176 and 192 − 176 = 16
    ///
    /// Where the prompt is too short for a pyramid, or the top layer would not even keep the guarded slots, all are alike.
    func slots(mean: Double, guarded: Int, layer: Int, layers: Int, prompt: Int) -> Int {
        let (length, guarded) = (Double(prompt), Double(guarded))
        let (divided, added): (Double, Double)
        switch self {
        case .uniform, .ada, .adaAuthors, .global: return Int(mean)
        case .pyramid: (divided, added) = (mean, 0)
        case .pyramidAuthors: (divided, added) = (mean - guarded, guarded)
        }
        var top = divided / Self.steepness
        var lowest = 2 * divided - top
        if lowest >= length - guarded {
            lowest = length - guarded
            top = 2 * divided - lowest
        }
        guard length >= lowest, lowest >= top, top + added >= guarded else {
            return Int(mean.rounded(.toNearestOrEven))
        }
        let step = layers > 1 ? (lowest - top) / Double(layers - 1) : 0
        return Int((lowest + added - Double(layer) * step).rounded(.toNearestOrEven))
    }
}
