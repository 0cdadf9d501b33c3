import Kernels

/// A head group: neighbouring KV heads of a layer that are merged.
struct HeadGroup {
    /// The heads' indices.
    let heads: Range<Int>
    let headDim: Int

    /// The heads' rows in the key and value projections.
    var rows: Range<Int> { heads.lowerBound * headDim..<heads.upperBound * headDim }

    static func all(of layer: AttentionWeights, into count: Int) -> [HeadGroup] {
        let size = layer.kvHeads / count
        return (0..<count).map { HeadGroup(heads: $0 * size..<($0 + 1) * size, headDim: layer.headDim) }
    }

    /// The mean of `heads` blocks of rows.
    static func mean(_ rows: DenseMatrix, heads: Int) -> DenseMatrix {
        let size = rows.rows / heads
        return (1..<heads).reduce(rows.rows(0..<size)) { $0 + rows.rows($1 * size..<($1 + 1) * size) }
            .scaled(by: 1 / Double(heads))
    }
}

extension DenseMatrix {
    /// Replaces the block whose first element is at a row and a column.
    mutating func replace(_ row: Int, _ column: Int, with block: DenseMatrix) {
        for i in 0..<block.rows { for j in 0..<block.columns { self[row + i, column + j] = block[i, j] } }
    }

    /// The sum of the diagonal.
    var trace: Double { (0..<min(rows, columns)).reduce(0) { $0 + self[$1, $1] } }
}
