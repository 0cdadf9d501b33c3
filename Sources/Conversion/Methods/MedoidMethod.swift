import Random

/// The medoid of each group: the head with the least sum of distances to the others, the first of equals.
struct MedoidMethod: PoolingMethod {
    static let name = "medoid"
    static let summary = "the head of each group that is nearest to the others"

    /// The medoid's rows [headDim, width], unchanged.
    func merge(_ group: HeadRows, generator: inout SeededGenerator) -> [Float] {
        let sums = (0..<group.heads).map { head in
            (0..<group.heads).reduce(0.0) { sum, other in
                sum
                    + zip(group.head(head), group.head(other)).reduce(0.0) {
                        let difference = Double($1.0) - Double($1.1)
                        return $0 + difference * difference
                    }.squareRoot()
            }
        }
        let best = sums.indices.min { sums[$0] < sums[$1] } ?? 0
        return Array(group.head(best))
    }
}
