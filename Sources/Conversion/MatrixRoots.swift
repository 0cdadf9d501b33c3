import Kernels

extension DenseMatrix {
    /// The symmetric square root of a positive semidefinite matrix, and that root's pseudo-inverse.
    func roots() throws(DecompositionError) -> (root: DenseMatrix, inverse: DenseMatrix) {
        let (values, vectors) = try symmetricEigen()
        let least = max(values.first ?? 0, 0) * 1e-14
        return (
            Self.rebuilt(values, vectors) { max($0, 0).squareRoot() },
            Self.rebuilt(values, vectors) { $0 > least ? 1 / $0.squareRoot() : 0 }
        )
    }

    /// The inverse of a positive semidefinite matrix with a ridge of a millionth of its mean eigenvalue: rare directions are
    /// predicted as zero rather than at random.
    func ridgeInverse() throws(DecompositionError) -> DenseMatrix {
        let (values, vectors) = try symmetricEigen()
        let ridge = max(values.reduce(0, +) / Double(max(rows, 1)), 1e-30) * 1e-6
        return Self.rebuilt(values, vectors) { 1 / (max($0, 0) + ridge) }
    }

    /// Σ f(value) · vector vectorᵀ.
    private static func rebuilt(_ values: [Double], _ vectors: DenseMatrix, _ f: (Double) -> Double) -> DenseMatrix {
        var scaled = vectors
        for i in 0..<vectors.rows {
            let factor = f(values[i])
            for j in 0..<vectors.columns { scaled[i, j] *= factor }
        }
        return vectors.transposedTimes(scaled)
    }
}
