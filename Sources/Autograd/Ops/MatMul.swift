import Kernels

extension Tensor {
    /// The matrix product over the last two axes: [.., m, k] × [.., k, n] gives [.., m, n].
    ///
    /// Leading axes are batch axes and broadcast by NumPy's rules. `transposeA` reads this tensor as stored [.., k, m],
    /// `transposeB` the other as [.., n, k]; neither is copied. Both have at least two axes.
    public func matmul(_ other: Tensor, transposeA: Bool = false, transposeB: Bool = false) -> Tensor {
        let plan = MatMulPlan(self, other, transposeA, transposeB)
        let output = Storage(count: plan.outputShape.count)
        let (a, b) = (storage, other.storage)
        plan.forward(a, b, into: output)
        return .result(plan.outputShape, output, from: [self, other]) { gradient, sink in
            sink.accumulate(0, count: a.count) { plan.gradientA(b, gradient, into: $0, beta: $1) }
            sink.accumulate(1, count: b.count) { plan.gradientB(a, gradient, into: $0, beta: $1) }
        }
    }
}

/// The products of two batches of matrices, forward and backward.
private struct MatMulPlan: Sendable {
    let outputShape: Shape
    private let (m, n, k): (Int, Int, Int)
    private let transposeA: Bool
    private let transposeB: Bool
    /// The matrix of a, and of b, that each output matrix reads.
    private let aIndices: [Int]
    private let bIndices: [Int]

    init(_ a: Tensor, _ b: Tensor, _ transposeA: Bool, _ transposeB: Bool) {
        precondition(a.shape.rank >= 2 && b.shape.rank >= 2, "matmul: \(a.shape) × \(b.shape), both need two axes")
        let aBatch = Shape(Array(a.shape.dimensions.dropLast(2)))
        let bBatch = Shape(Array(b.shape.dimensions.dropLast(2)))
        let (height, width) = transposeA ? (a.shape[-1], a.shape[-2]) : (a.shape[-2], a.shape[-1])
        let (depth, columns) = transposeB ? (b.shape[-1], b.shape[-2]) : (b.shape[-2], b.shape[-1])
        guard width == depth, let batch = Shape.broadcast(aBatch, bBatch) else {
            preconditionFailure(
                "matmul: \(a.shape)\(transposeA ? "ᵀ" : "") × \(b.shape)\(transposeB ? "ᵀ" : "") do not fit")
        }
        self.transposeA = transposeA
        self.transposeB = transposeB
        outputShape = Shape(batch.dimensions + [height, columns])
        if bBatch.count == 1, !transposeA {
            // A single b: the matrices of a are stacked, and one product suffices.
            (m, n, k) = (batch.count * height, columns, width)
            (aIndices, bIndices) = ([0], [0])
        } else {
            (m, n, k) = (height, columns, width)
            aIndices = Self.indices(of: aBatch, in: batch)
            bIndices = Self.indices(of: bBatch, in: batch)
        }
    }

    /// The index into `operand` of each index of `batch`, row-major.
    private static func indices(of operand: Shape, in batch: Shape) -> [Int] {
        let strides = operand.strides
        let missing = batch.rank - operand.rank
        let batchStrides = batch.strides
        return (0..<batch.count).map { index in
            operand.dimensions.indices.reduce(0) { sum, axis in
                let coordinate = index / batchStrides[axis + missing] % batch.dimensions[axis + missing]
                return sum + (operand.dimensions[axis] == 1 ? 0 : coordinate * strides[axis])
            }
        }
    }

    private func matrixA(_ storage: Storage, _ index: Int) -> Matrix {
        Matrix(
            storage, offset: index * m * k, rows: transposeA ? k : m, columns: transposeA ? m : k, transposed: transposeA)
    }

    private func matrixB(_ storage: Storage, _ index: Int) -> Matrix {
        Matrix(
            storage, offset: index * k * n, rows: transposeB ? n : k, columns: transposeB ? k : n, transposed: transposeB)
    }

    private func matrixC(_ storage: Storage, _ index: Int) -> Matrix {
        Matrix(storage, offset: index * m * n, rows: m, columns: n)
    }

    func forward(_ a: Storage, _ b: Storage, into c: Storage) {
        MatMul.summed(aIndices.count, terms: 1) { index, _ in
            (matrixA(a, aIndices[index]), matrixB(b, bIndices[index]), matrixC(c, index))
        }
    }

    /// dA (+)= Σ dC·Bᵀ over the outputs that read the matrix.
    func gradientA(_ b: Storage, _ gradient: Storage, into dA: Storage, beta: Float) {
        accumulate(aIndices, dA, matrices: m * k, beta) { output in
            let c = matrixC(gradient, output)
            let other = matrixB(b, bIndices[output])
            let into = Matrix(
                dA, offset: aIndices[output] * m * k, rows: transposeA ? k : m, columns: transposeA ? m : k)
            // Stored transposed: (dC·Bᵀ)ᵀ = B·dCᵀ.
            return transposeA ? (other, c.transpose, into) : (c, other.transpose, into)
        }
    }

    /// dB (+)= Σ Aᵀ·dC over the outputs that read the matrix.
    func gradientB(_ a: Storage, _ gradient: Storage, into dB: Storage, beta: Float) {
        accumulate(bIndices, dB, matrices: k * n, beta) { output in
            let c = matrixC(gradient, output)
            let other = matrixA(a, aIndices[output])
            let into = Matrix(
                dB, offset: bIndices[output] * k * n, rows: transposeB ? n : k, columns: transposeB ? k : n)
            return transposeB ? (c.transpose, other, into) : (other.transpose, c, into)
        }
    }

    /// Sums, for each matrix of an operand, the products of the outputs that read it, in their order.
    private func accumulate(
        _ indices: [Int], _ into: Storage, matrices size: Int, _ beta: Float,
        product: @Sendable (_ output: Int) -> (a: Matrix, b: Matrix, c: Matrix)
    ) {
        let count = into.count / max(size, 1)
        var readers = [[Int]](repeating: [], count: count)
        for (output, index) in indices.enumerated() where index < count { readers[index].append(output) }
        let terms = readers.first?.count ?? 0
        if terms == 0 || m * n == 0 || k == 0 {
            if beta == 0 { Elementwise.fill(into, with: 0) }
            return
        }
        let order = readers
        // Broadcasting repeats every matrix equally often.
        MatMul.summed(count, terms: terms, beta: beta) { matrix, term in product(order[matrix][term]) }
    }
}
