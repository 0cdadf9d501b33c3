/// The choice of one candidate a layer with the least sum of losses within a number of pages: the multiple-choice knapsack problem,
/// solved exactly by dynamic programming (Kellerer, Pferschy and Pisinger 2004, Knapsack Problems, section 11.5).
enum LayerChoice {
    /// A candidate encoding of a layer: its pages and its loss.
    struct Option {
        var pages: Int
        var loss: Double
    }

    /// The index of each layer's option, for the least sum of losses, among equal sums the fewest pages, and then the first options;
    /// nil where the leanest options of all layers take more than `budget` pages.
    ///
    /// Precondition: each layer has an option.
    ///
    /// - Complexity: O(options · p), p the pages of the budget beyond those of the leanest options, at most those of the widest.
    static func best(_ layers: [[Option]], budget: Int) -> [Int]? {
        let least = layers.map { $0.map(\.pages).min() ?? 0 }
        let widest = zip(layers, least).reduce(0) { $0 + ($1.0.map(\.pages).max() ?? 0) - $1.1 }
        let spare = min(budget - least.reduce(0, +), widest)
        guard spare >= 0 else { return nil }
        // The least loss of the layers so far with so many pages beyond their leanest ones, and the option that the last of them takes.
        var losses = [Double?](repeating: nil, count: spare + 1)
        losses[0] = 0
        var taken: [[Int]] = []
        for (options, least) in zip(layers, least) {
            var (next, choice) = ([Double?](repeating: nil, count: spare + 1), [Int](repeating: -1, count: spare + 1))
            for (index, option) in options.enumerated() {
                let pages = option.pages - least
                for place in stride(from: 0, through: spare - pages, by: 1) {
                    guard let loss = losses[place].map({ $0 + option.loss }) else { continue }
                    if next[place + pages].map({ loss < $0 }) ?? true {
                        (next[place + pages], choice[place + pages]) = (loss, index)
                    }
                }
            }
            losses = next
            taken.append(choice)
        }
        let reached = losses.indices.filter { losses[$0] != nil }
        guard var place = reached.min(by: { (losses[$0] ?? 0, $0) < (losses[$1] ?? 0, $1) }) else { return nil }
        var chosen: [Int] = []
        for layer in layers.indices.reversed() {
            let index = taken[layer][place]
            chosen.append(index)
            place -= layers[layer][index].pages - least[layer]
        }
        return chosen.reversed()
    }
}
