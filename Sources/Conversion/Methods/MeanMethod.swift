import Random

/// The mean of the group's projections (Ainslie et al. 2023, GQA, section 2.1).
struct MeanMethod: PoolingMethod {
    static let name = "mean"
    static let summary = "mean of each group's heads (Ainslie et al. 2023)"

    /// Sums in Float64 in head order, so that equal heads pool to themselves bit for bit.
    func merge(_ group: HeadRows, generator: inout SeededGenerator) -> [Float] {
        let size = group.headDim * group.width
        var sums = [Double](repeating: 0, count: size)
        for head in 0..<group.heads {
            for (index, value) in group.head(head).enumerated() { sums[index] += Double(value) }
        }
        let count = Double(group.heads)
        return sums.map { Float($0 / count) }
    }
}
