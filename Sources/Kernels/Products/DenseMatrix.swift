import COpenBLAS

/// A small dense Float64 matrix, row-major, for analysing weights. Products by OpenBLAS, decompositions by LAPACK.
public struct DenseMatrix: Sendable, Equatable {
    /// Rows.
    public let rows: Int
    /// Columns.
    public let columns: Int
    /// The elements, row-major.
    public var values: [Double]

    /// A matrix of `values`; precondition: there are `rows` · `columns` of them.
    public init(rows: Int, columns: Int, values: [Double]) {
        precondition(values.count == rows * columns, "DenseMatrix: \(values.count) values for \(rows)×\(columns)")
        self.rows = rows
        self.columns = columns
        self.values = values
    }

    /// A matrix of zeros.
    public init(rows: Int, columns: Int) {
        self.init(rows: rows, columns: columns, values: [Double](repeating: 0, count: rows * columns))
    }

    /// The identity matrix of `side` rows and columns.
    public init(identity side: Int) {
        self.init(rows: side, columns: side)
        for i in 0..<side { self[i, i] = 1 }
    }

    /// The element at a row and a column.
    public subscript(row: Int, column: Int) -> Double {
        get { values[row * columns + column] }
        set { values[row * columns + column] = newValue }
    }

    /// The rows of `range`.
    public func rows(_ range: Range<Int>) -> DenseMatrix {
        DenseMatrix(
            rows: range.count, columns: columns, values: Array(values[range.lowerBound * columns..<range.upperBound * columns]))
    }

    /// The columns of `range`.
    public func columns(_ range: Range<Int>) -> DenseMatrix {
        var result: [Double] = []
        result.reserveCapacity(rows * range.count)
        for row in 0..<rows { result += values[row * columns + range.lowerBound..<row * columns + range.upperBound] }
        return DenseMatrix(rows: rows, columns: range.count, values: result)
    }

    /// Every element times `factor`.
    public func scaled(by factor: Double) -> DenseMatrix {
        DenseMatrix(rows: rows, columns: columns, values: values.map { $0 * factor })
    }

    /// The Frobenius norm: the root of the sum of squares.
    public var norm: Double { values.reduce(0) { $0 + $1 * $1 }.squareRoot() }

    /// The element-wise sum of two matrices of one shape.
    public static func + (a: DenseMatrix, b: DenseMatrix) -> DenseMatrix {
        precondition(a.rows == b.rows && a.columns == b.columns, "DenseMatrix: a sum of different shapes")
        return DenseMatrix(rows: a.rows, columns: a.columns, values: zip(a.values, b.values).map(+))
    }

    /// The matrix product; `a` [m, k] by `b` [k, n].
    public static func * (a: DenseMatrix, b: DenseMatrix) -> DenseMatrix {
        precondition(a.columns == b.rows, "DenseMatrix: \(a.rows)×\(a.columns) by \(b.rows)×\(b.columns)")
        return product(a, b, transposed: (false, false), rows: a.rows, inner: a.columns, columns: b.columns)
    }

    /// self · otherᵀ.
    public func timesTransposed(_ other: DenseMatrix) -> DenseMatrix {
        precondition(columns == other.columns, "DenseMatrix: \(rows)×\(columns) by (\(other.rows)×\(other.columns))ᵀ")
        return Self.product(self, other, transposed: (false, true), rows: rows, inner: columns, columns: other.rows)
    }

    /// selfᵀ · other.
    public func transposedTimes(_ other: DenseMatrix) -> DenseMatrix {
        precondition(rows == other.rows, "DenseMatrix: (\(rows)×\(columns))ᵀ by \(other.rows)×\(other.columns)")
        return Self.product(self, other, transposed: (true, false), rows: columns, inner: rows, columns: other.columns)
    }

    private static func product(
        _ a: DenseMatrix, _ b: DenseMatrix, transposed: (Bool, Bool), rows: Int, inner: Int, columns: Int
    ) -> DenseMatrix {
        var result = DenseMatrix(rows: rows, columns: columns)
        guard rows > 0, columns > 0, inner > 0 else { return result }
        BLAS.singleThreaded
        unsafe a.values.withUnsafeBufferPointer { x in
            unsafe b.values.withUnsafeBufferPointer { y in
                unsafe result.values.withUnsafeMutableBufferPointer { z in
                    unsafe cblas_dgemm(
                        CblasRowMajor, transposed.0 ? CblasTrans : CblasNoTrans, transposed.1 ? CblasTrans : CblasNoTrans,
                        Int32(rows), Int32(columns), Int32(inner), 1, x.baseAddress, Int32(a.columns), y.baseAddress,
                        Int32(b.columns), 0, z.baseAddress, Int32(columns))
                }
            }
        }
        return result
    }
}

/// A decomposition for which LAPACK failed.
public struct DecompositionError: Error, CustomStringConvertible, Equatable {
    /// LAPACK's routine.
    public let routine: String
    /// Its `info`.
    public let code: Int

    /// The sentence for the user.
    public var description: String {
        "LAPACK's \(routine) did not converge (info \(code)); the weights may hold NaN or infinite values"
    }
}

extension DenseMatrix {
    /// Eigenvalues of a symmetric matrix, largest first, and their unit eigenvectors as rows.
    public func symmetricEigen() throws(DecompositionError) -> (values: [Double], vectors: DenseMatrix) {
        precondition(rows == columns, "symmetricEigen: \(rows)×\(columns)")
        var vectors = values
        var eigenvalues = [Double](repeating: 0, count: rows)
        guard rows > 0 else { return ([], self) }
        var info: Int32 = 0
        var (side, words, integers) = (Int32(rows), Int32(1 + 6 * rows + 2 * rows * rows), Int32(3 + 5 * rows))
        var work = [Double](repeating: 0, count: Int(words))
        var integerWork = [Int32](repeating: 0, count: Int(integers))
        BLAS.singleThreaded
        unsafe dsyevd_("V", "U", &side, &vectors, &side, &eigenvalues, &work, &words, &integerWork, &integers, &info)
        guard info == 0 else { throw DecompositionError(routine: "dsyevd", code: Int(info)) }
        // Column-major, so that an eigenvector's elements are adjacent; smallest first.
        let order = (0..<rows).reversed()
        return (
            order.map { eigenvalues[$0] },
            DenseMatrix(rows: rows, columns: rows, values: order.flatMap { vectors[$0 * rows..<($0 + 1) * rows] })
        )
    }

    /// The thin singular value decomposition u · diag(values) · vᵀ, largest value first: u [m, k], vᵀ [k, n], k = min(m, n).
    public func svd() throws(DecompositionError) -> (u: DenseMatrix, values: [Double], vt: DenseMatrix) {
        let k = min(rows, columns)
        guard k > 0 else {
            return (DenseMatrix(rows: rows, columns: 0), [], DenseMatrix(rows: 0, columns: columns))
        }
        // LAPACK reads the transpose: its left vectors are our right ones.
        var a = values
        var singular = [Double](repeating: 0, count: k)
        var left = [Double](repeating: 0, count: columns * k)
        var right = [Double](repeating: 0, count: k * rows)
        var (m, n, inner, info) = (Int32(columns), Int32(rows), Int32(k), Int32(0))
        let larger = max(rows, columns)
        var words = Int32(4 * k * k + 7 * k + 3 * k + larger + 64 * (larger + k))
        var work = [Double](repeating: 0, count: Int(words))
        var integerWork = [Int32](repeating: 0, count: 8 * k)
        BLAS.singleThreaded
        unsafe dgesdd_(
            "S", &m, &n, &a, &m, &singular, &left, &m, &right, &inner, &work, &words, &integerWork, &info)
        guard info == 0 else { throw DecompositionError(routine: "dgesdd", code: Int(info)) }
        return (
            DenseMatrix(rows: rows, columns: k, values: right), singular, DenseMatrix(rows: k, columns: columns, values: left)
        )
    }
}
