import Random

/// The group's first head, unchanged (Ainslie et al. 2023, figure 4).
struct FirstMethod: PoolingMethod {
    static let name = "first"
    static let summary = "each group's first head, the others dropped"

    /// The first head's rows [headDim, width], unchanged.
    func merge(_ group: HeadRows, generator: inout SeededGenerator) -> [Float] { Array(group.head(0)) }
}
