/// The division of a budget among layers.
public enum BudgetAllocation: String, Sendable, Hashable, CaseIterable {
    /// Every layer the same.
    case uniform
    /// The lower a layer the more, falling in equal steps (Cai et al. 2024, PyramidKV, section 3.2), as kvpress divides it.
    case pyramid
    /// The same with the authors' totals: the pyramid is made of the budget less the slots kept without a score,
    /// which every layer then gets on top. kvpress makes it of the whole budget.
    case pyramidAuthors = "pyramid-authors"

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
        case .uniform: return Int(mean)
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
