import COpenBLAS
import Threads

/// A row-major matrix in a storage.
public struct Matrix: Sendable {
    /// The storage of the elements.
    public let storage: Storage
    /// Index of the first element.
    public let offset: Int
    /// Rows as stored.
    public let rows: Int
    /// Columns as stored.
    public let columns: Int
    /// Elements from one row to the next.
    public let stride: Int
    /// Whether the product reads it transposed.
    public let transposed: Bool

    /// `rows` × `columns` at `offset`, rows `stride` apart (by default dense).
    public init(_ storage: Storage, offset: Int = 0, rows: Int, columns: Int, stride: Int? = nil, transposed: Bool = false) {
        let stride = stride ?? columns
        precondition(
            rows >= 0 && columns >= 0 && stride >= columns && offset >= 0
                && (rows == 0 || offset + (rows - 1) * stride + columns <= storage.count),
            "Matrix: \(rows)×\(columns) (stride \(stride)) at \(offset) outside \(storage.count) elements")
        self.storage = storage
        self.offset = offset
        self.rows = rows
        self.columns = columns
        self.stride = stride
        self.transposed = transposed
    }

    /// The same matrix, read transposed.
    public var transpose: Matrix {
        Matrix(storage, offset: offset, rows: rows, columns: columns, stride: stride, transposed: !transposed)
    }

    /// The first element of a row, as stored.
    func pointer(row: Int) -> UnsafeMutablePointer<Float> { unsafe storage.pointer + offset + row * stride }

    var height: Int { transposed ? columns : rows }
    var width: Int { transposed ? rows : columns }
}

/// General matrix products: single-threaded OpenBLAS calls, the output's rows or columns divided over the pool.
public enum MatMul {
    /// c = alpha·a·b + beta·c, with a [m, k], b [k, n] as read and c [m, n].
    ///
    /// The division depends on the shapes and the number of threads alone. With beta 0, c's old contents are not read.
    public static func multiply(_ a: Matrix, _ b: Matrix, into c: Matrix, alpha: Float = 1, beta: Float = 0) {
        let m = a.height
        let n = b.width
        let k = a.width
        precondition(
            b.height == k && c.rows == m && c.columns == n && !c.transposed,
            "MatMul: [\(m), \(k)] × [\(b.height), \(n)] does not fit [\(c.rows), \(c.columns)]")
        guard m > 0, n > 0 else { return }
        let pieces = m * n * k < 1 << 18 ? 1 : min(Parallel.threads, max(m, n) / 16 + 1)
        // The longer side is cut, at multiples of 16.
        let byRows = m >= n
        let blocks = ((byRows ? m : n) + 15) / 16
        Parallel.forEach(pieces) { piece in
            let start = min(blocks * piece / pieces * 16, byRows ? m : n)
            let end = min(blocks * (piece + 1) / pieces * 16, byRows ? m : n)
            guard end > start else { return }
            let rowStart = byRows ? start : 0
            let columnStart = byRows ? 0 : start
            unsafe gemm(
                a.transposed, b.transposed, byRows ? end - start : m, byRows ? n : end - start, k, alpha,
                a.storage.pointer + a.offset + rowStart * (a.transposed ? 1 : a.stride), a.stride,
                b.storage.pointer + b.offset + columnStart * (b.transposed ? b.stride : 1), b.stride, beta,
                c.pointer(row: rowStart) + columnStart, c.stride)
        }
    }

    private static func gemm(
        _ transposeA: Bool, _ transposeB: Bool, _ m: Int, _ n: Int, _ k: Int, _ alpha: Float, _ a: UnsafePointer<Float>,
        _ lda: Int, _ b: UnsafePointer<Float>, _ ldb: Int, _ beta: Float, _ c: UnsafeMutablePointer<Float>, _ ldc: Int
    ) {
        BLAS.singleThreaded
        // With k = 0, sgemv would leave c unchanged.
        if m == 1, k > 0, transposeB, !transposeA {
            // One row times weights stored [out, in]: a matrix-vector product reads them once, in order.
            unsafe cblas_sgemv(CblasRowMajor, CblasNoTrans, Int32(n), Int32(k), alpha, b, Int32(ldb), a, 1, beta, c, 1)
            return
        }
        unsafe cblas_sgemm(
            CblasRowMajor, transposeA ? CblasTrans : CblasNoTrans, transposeB ? CblasTrans : CblasNoTrans, Int32(m), Int32(n),
            Int32(k), alpha, a, Int32(max(lda, 1)), b, Int32(max(ldb, 1)), beta, c, Int32(ldc))
    }

    /// c = Σ over `terms` of aᵗ·bᵗ for each of `count` outputs, over the pool; `job(output, term)` returns the operands, with one
    /// c for all terms of an output.
    public static func summed(
        _ count: Int, terms: Int, beta: Float = 0,
        job: @Sendable (_ output: Int, _ term: Int) -> (a: Matrix, b: Matrix, c: Matrix)
    ) {
        guard count > 0, terms > 0 else { return }
        let (a, _, c) = job(0, 0)
        // Few large products are each divided over the pool; many small ones are units of work.
        let split = count < Parallel.threads || c.rows * c.columns * a.width >= 1 << 24
        @Sendable func run(_ output: Int) {
            for term in 0..<terms {
                let (a, b, c) = job(output, term)
                multiply(a, b, into: c, beta: term == 0 ? beta : 1)
            }
        }
        if split || count * terms * c.rows * c.columns * a.width < 1 << 18 {
            for output in 0..<count { run(output) }
        } else {
            Parallel.forEach(count) { run($0) }
        }
    }
}
