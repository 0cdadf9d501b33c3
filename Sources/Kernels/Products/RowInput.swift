import CKernels

/// The input rows of a linear layer, produced block by block on demand.
public enum RowInput: Sendable {
    /// The rows of a matrix, unchanged.
    case matrix(Matrix)
    /// RMSNorm of rows of x: x · rstd · weight. With an `epsilon`, rstd [rows] is computed and written; with nil it is given.
    case rmsNorm(x: Storage, weight: Storage, rstd: Storage, epsilon: Float?)
    /// silu(gate) · up for rows [gate | up].
    case swiGLU(gateUp: Storage)
    /// The rows of several matrices of one width, stacked.
    case stacked([Matrix])

    /// A block of rows in memory, valid as long as the scratch and the storages live.
    @unsafe struct Block {
        let pointer: UnsafePointer<Float>
        let stride: Int
    }

    func scratchCount(rows: Int, width: Int) -> Int {
        if case .matrix = self { 0 } else { rows * width }
    }

    /// The rows of `range`, in place or in `scratch`.
    func rows(_ range: Range<Int>, width: Int, scratch: Storage) -> Block {
        let start = range.lowerBound
        let (rows, columns) = (Int64(range.count), Int64(width))
        switch self {
        case .matrix(let matrix):
            return unsafe Block(pointer: UnsafePointer(matrix.pointer(row: start)), stride: matrix.stride)
        case .rmsNorm(let x, let weight, let rstd, let epsilon):
            let from = unsafe x.pointer + start * width
            if let epsilon {
                unsafe kernels.rms_norm(
                    from, weight.pointer, scratch.pointer, rstd.pointer + start, rows, columns, epsilon)
            } else {
                unsafe kernels.rms_norm_apply(from, weight.pointer, rstd.pointer + start, scratch.pointer, rows, columns)
            }
        case .swiGLU(let gateUp):
            unsafe kernels.swiglu(gateUp.pointer + start * 2 * width, scratch.pointer, rows, columns)
        case .stacked(let matrices):
            var first = 0
            for matrix in matrices {
                let part = range.clamped(to: first..<first + matrix.rows)
                for row in part {
                    unsafe (scratch.pointer + (row - start) * width).update(
                        from: matrix.pointer(row: row - first), count: width)
                }
                first += matrix.rows
            }
        }
        return unsafe Block(pointer: UnsafePointer(scratch.pointer), stride: width)
    }

    /// Checks that the storages hold `rows` rows of `width`.
    func check(rows: Int, width: Int) {
        let fits =
            switch self {
            case .matrix(let matrix): matrix.rows == rows && matrix.columns == width && !matrix.transposed
            case .rmsNorm(let x, let weight, let rstd, _):
                x.count == rows * width && weight.count == width && rstd.count == rows
            case .swiGLU(let gateUp): gateUp.count == 2 * rows * width
            case .stacked(let matrices):
                matrices.allSatisfy { $0.columns == width && !$0.transposed } && matrices.reduce(0) { $0 + $1.rows } == rows
            }
        precondition(fits, "linear: the input's storages don't hold [\(rows), \(width)]")
    }
}
