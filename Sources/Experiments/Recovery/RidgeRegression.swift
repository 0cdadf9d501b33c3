/// A linear model of few features, fitted to few examples: least squares on standardised features, large weights held back.
///
///     minimise Σ (yᵢ − ȳ − w·zᵢ)² + λ·|w|²,   z = (x − mean) / deviation
///
/// (Hoerl and Kennard 1970, Ridge Regression.)
struct RidgeRegression: Sendable {
    private let means: [Double]
    private let deviations: [Double]
    private let weights: [Double]
    private let intercept: Double

    /// Fits `examples`, of which there is at least one; with λ = 1 a handful of examples move a weight little.
    init(_ examples: [(x: [Double], y: Double)], lambda: Double = 1) {
        let count = Double(max(examples.count, 1))
        let width = examples.first?.x.count ?? 0
        intercept = examples.reduce(0) { $0 + $1.y } / count
        let means = (0..<width).map { j in examples.reduce(0) { $0 + $1.x[j] } / count }
        let deviations = (0..<width).map { j in
            (examples.reduce(0) { $0 + ($1.x[j] - means[j]) * ($1.x[j] - means[j]) } / count).squareRoot()
        }
        self.means = means
        // A feature that is the same everywhere says nothing.
        self.deviations = deviations.map { $0 > 1e-12 ? $0 : .infinity }
        var matrix = [[Double]](repeating: [Double](repeating: 0, count: width + 1), count: width)
        for j in 0..<width { matrix[j][j] = lambda }
        for example in examples {
            let z = Self.standardised(example.x, means, self.deviations)
            for i in 0..<width {
                for j in 0..<width { matrix[i][j] += z[i] * z[j] }
                matrix[i][width] += z[i] * (example.y - intercept)
            }
        }
        weights = Self.solved(matrix)
    }

    func prediction(_ x: [Double]) -> Double {
        zip(Self.standardised(x, means, deviations), weights).reduce(intercept) { $0 + $1.0 * $1.1 }
    }

    private static func standardised(_ x: [Double], _ means: [Double], _ deviations: [Double]) -> [Double] {
        x.indices.map { (x[$0] - means[$0]) / deviations[$0] }
    }

    /// Gauss-Jordan elimination of a positive definite system, the right side in the last column.
    private static func solved(_ matrix: [[Double]]) -> [Double] {
        var matrix = matrix
        let width = matrix.count
        for pivot in 0..<width {
            for row in 0..<width where row != pivot {
                let factor = matrix[row][pivot] / matrix[pivot][pivot]
                for column in pivot...width { matrix[row][column] -= factor * matrix[pivot][column] }
            }
        }
        return (0..<width).map { matrix[$0][width] / matrix[$0][$0] }
    }
}
