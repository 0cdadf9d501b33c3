import CKernels

/// The epilogue of a linear layer's product, applied block by block while rows are in cache.
public enum RowOutput: Sendable {
    /// Writes the product to a matrix, or accumulates into it.
    case matrix(Matrix, accumulate: Bool)
    /// Writes the product plus `residual`, equally many dense rows.
    case residual(Matrix, residual: Storage)
    /// The product is the gradient of RMSNorm's output: dx (+)= the gradient of x, dw [width] += the weight's.
    case rmsNormGradient(x: Storage, weight: Storage, rstd: Storage, into: Storage, weightGradient: Storage, accumulate: Bool)
    /// The product is the gradient of silu(gate) · up: writes the gradient of rows [gate | up], which may overwrite them.
    case swiGLUGradient(gateUp: Storage, into: Storage)
    /// The product is logits: writes them and the losses [rows], with a teacher the divergences from it too, whose logits are
    /// overwritten; with `gradientScale` the logits become their own gradient.
    case crossEntropy(
        logits: Matrix, targets: ArraySlice<Int32>, losses: Storage, firstLoss: Int,
        teacher: (LinearCrossEntropyKernel.Teacher, logits: Matrix)?, gradientScale: Float?)

    /// The destination of one block's product.
    @unsafe struct Block {
        let pointer: UnsafeMutablePointer<Float>
        let stride: Int
        let accumulate: Bool
    }

    /// The matrix that the product is written to directly, if any.
    var matrix: Matrix? {
        switch self {
        case .matrix(let matrix, _), .residual(let matrix, _), .crossEntropy(let matrix, _, _, _, _, _): matrix
        case .rmsNormGradient, .swiGLUGradient: nil
        }
    }

    func scratchCount(rows: Int, width: Int) -> Int {
        switch self {
        case .matrix, .residual, .crossEntropy: 0
        case .rmsNormGradient, .swiGLUGradient: rows * width
        }
    }

    /// Elements of a block's partial sums.
    func partialCount(width: Int) -> Int {
        if case .rmsNormGradient = self { width } else { 0 }
    }

    /// The destination of the product of the rows of `range`.
    func target(_ range: Range<Int>, width: Int, scratch: Storage) -> Block {
        switch self {
        case .matrix(let matrix, let accumulate):
            return unsafe block(matrix, range, accumulate: accumulate)
        case .residual(let matrix, let residual):
            for row in range {
                unsafe matrix.pointer(row: row).update(from: residual.pointer + row * width, count: width)
            }
            return unsafe block(matrix, range, accumulate: true)
        case .crossEntropy(let logits, _, _, _, _, _):
            return unsafe block(logits, range, accumulate: false)
        case .rmsNormGradient, .swiGLUGradient:
            return unsafe Block(pointer: scratch.pointer, stride: width, accumulate: false)
        }
    }

    private func block(_ matrix: Matrix, _ range: Range<Int>, accumulate: Bool) -> Block {
        unsafe Block(pointer: matrix.pointer(row: range.lowerBound), stride: matrix.stride, accumulate: accumulate)
    }

    /// Applies the epilogue to the product of the rows of `range`; row `index` of `partials` takes the block's own sums, zero
    /// initially.
    func finish(_ range: Range<Int>, width: Int, _ block: Block, partials: Storage, index: Int) {
        let start = range.lowerBound
        let (rows, columns) = (Int64(range.count), Int64(width))
        switch self {
        case .matrix, .residual: break
        case .rmsNormGradient(let x, let weight, let rstd, let into, _, let accumulate):
            unsafe kernels.rms_norm_gradient(
                x.pointer + start * width, weight.pointer, rstd.pointer + start, block.pointer, into.pointer + start * width,
                partials.pointer + index * width, rows, columns, accumulate ? 1 : 0)
        case .swiGLUGradient(let gateUp, let into):
            unsafe kernels.swiglu_gradient(
                gateUp.pointer + start * 2 * width, block.pointer, into.pointer + start * 2 * width, rows, columns)
        case .crossEntropy(_, let targets, let losses, let firstLoss, let taught, let scale):
            unsafe targets.withUnsafeBufferPointer { targets in
                guard let targets = targets.baseAddress else { return }
                let (place, hasGradient) = (firstLoss + start, Int32(scale == nil ? 0 : 1))
                guard let (teacher, expected) = taught else {
                    return unsafe kernels.cross_entropy(
                        block.pointer, targets + start, losses.pointer + place, rows, columns, scale ?? 0, hasGradient)
                }
                unsafe kernels.distillation(
                    block.pointer, expected.pointer(row: start), targets + start,
                    losses.pointer + place, teacher.divergences.pointer + place, rows, columns, scale ?? 0, teacher.share,
                    teacher.temperature, hasGradient)
            }
        }
    }

    /// Sums the blocks' partial sums, first block first, whatever the number of threads.
    func addUp(_ partials: Storage, blocks: Int, width: Int) {
        guard case .rmsNormGradient(_, _, _, _, let weightGradient, _) = self else { return }
        for block in 0..<blocks {
            unsafe kernels.axpy(1, partials.pointer + block * width, weightGradient.pointer, Int64(width))
        }
    }

    /// Checks that the storages have room for `rows` rows of `width`.
    func check(rows: Int, width: Int) {
        let fits =
            switch self {
            case .matrix(let matrix, _): matrix.rows == rows && matrix.columns == width && !matrix.transposed
            case .residual(let matrix, let residual):
                matrix.rows == rows && matrix.columns == width && !matrix.transposed && residual.count == rows * width
            case .rmsNormGradient(let x, let weight, let rstd, let into, let weightGradient, _):
                x.count == rows * width && into.count == x.count && weight.count == width && weightGradient.count == width
                    && rstd.count == rows && into !== x
            case .swiGLUGradient(let gateUp, let into): gateUp.count == 2 * rows * width && into.count == gateUp.count
            case .crossEntropy(let logits, let targets, let losses, let firstLoss, let taught, _):
                [logits, taught?.logits ?? logits].allSatisfy { $0.rows == rows && $0.columns == width && $0.stride == width }
                    && taught?.logits.storage !== logits.storage && targets.count == rows && firstLoss + rows <= losses.count
                    && (taught.map { $0.0.divergences.count == losses.count } ?? true)
                    && targets.allSatisfy { $0 < Int32(clamping: width) }
            }
        precondition(fits, "linear: the output's storages don't take [\(rows), \(width)]")
    }
}
