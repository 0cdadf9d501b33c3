/// Small in-place operations on rows of projections, for decoding: biases and per-head norms.
public enum RowWise {
    /// Adds `bias` [width] to each of `rows` rows of x [rows, width].
    public static func add(_ bias: Storage, to x: Storage, rows: Int) {
        let width = bias.count
        precondition(rows >= 0 && x.count >= rows * width, "add: \(rows) rows of \(width) outside \(x.count) elements")
        for row in 0..<rows {
            for column in 0..<width { unsafe x.pointer[row * width + column] += bias.pointer[column] }
        }
    }

    /// RMSNorm of `heads` heads of each row, in place: x · (mean x² + epsilon)^-½ · gain.
    ///
    /// A row starts at r · `stride` + `offset` and holds [heads, gain.count].
    public static func normHeads(
        _ x: Storage, gain: Storage, rows: Int, stride: Int, offset: Int, heads: Int, epsilon: Float
    ) {
        let headDim = gain.count
        precondition(
            offset >= 0 && offset + heads * headDim <= stride && x.count >= rows * stride,
            "normHeads: \(rows) rows of \(heads)×\(headDim) (stride \(stride)) outside \(x.count) elements")
        for row in 0..<rows {
            for head in 0..<heads {
                let start = row * stride + offset + head * headDim
                var sum: Float = 0
                for i in 0..<headDim { unsafe sum += x.pointer[start + i] * x.pointer[start + i] }
                let factor = 1 / (sum / Float(headDim) + epsilon).squareRoot()
                for i in 0..<headDim { unsafe x.pointer[start + i] *= factor * gain.pointer[i] }
            }
        }
    }
}
