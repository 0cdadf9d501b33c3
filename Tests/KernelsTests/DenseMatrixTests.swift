import Kernels
import Random
import Testing

@Suite struct DenseMatrixTests {
    private func random(_ rows: Int, _ columns: Int, seed: UInt64) -> DenseMatrix {
        var generator = SeededGenerator(seed: seed)
        return DenseMatrix(
            rows: rows, columns: columns, values: generator.normals(rows * columns, deviation: 1).map(Double.init))
    }

    private func distance(_ a: DenseMatrix, _ b: DenseMatrix) -> Double { (a + b.scaled(by: -1)).norm }

    private func transpose(_ a: DenseMatrix) -> DenseMatrix {
        DenseMatrix(
            rows: a.columns, columns: a.rows, values: (0..<a.columns).flatMap { j in (0..<a.rows).map { a[$0, j] } })
    }

    @Test func `products with and without transposes agree with each other and with sums by hand`() {
        let (a, b) = (random(3, 5, seed: 1), random(5, 4, seed: 2))
        let product = a * b
        for i in 0..<3 {
            for j in 0..<4 { #expect(abs(product[i, j] - (0..<5).reduce(0) { $0 + a[i, $1] * b[$1, j] }) < 1e-12) }
        }
        #expect(distance(a.timesTransposed(transpose(b)), product) < 1e-12)
        #expect(distance(transpose(a).transposedTimes(b), product) < 1e-12)
    }

    @Test(arguments: [(7, 4), (4, 7), (5, 5), (1, 6)]) func `singular vectors are orthonormal and give the matrix back`(
        rows: Int, columns: Int
    ) throws {
        let a = random(rows, columns, seed: 3)
        let (u, values, vt) = try a.svd()
        let k = min(rows, columns)
        #expect(distance(u.transposedTimes(u), DenseMatrix(identity: k)) < 1e-12)
        #expect(distance(vt.timesTransposed(vt), DenseMatrix(identity: k)) < 1e-12)
        var scaled = vt
        for i in 0..<k { for j in 0..<columns { scaled[i, j] *= values[i] } }
        #expect(distance(u * scaled, a) < 1e-12)
        #expect(values == values.sorted(by: >))
    }

    @Test func `eigenvectors of a symmetric matrix diagonalise it, largest value first`() throws {
        let half = random(6, 6, seed: 4)
        let a = half.timesTransposed(half)
        let (values, vectors) = try a.symmetricEigen()
        #expect(values == values.sorted(by: >))
        let diagonal = (vectors * a).timesTransposed(vectors)
        for i in 0..<6 { for j in 0..<6 { #expect(abs(diagonal[i, j] - (i == j ? values[i] : 0)) < 1e-11) } }
    }

    @Test func `a matrix with NaN is refused by name or converges to NaN, but does not hang`() {
        let a = DenseMatrix(rows: 2, columns: 2, values: [.nan, 1, 1, .nan])
        if let result = try? a.svd() { #expect(result.values.contains { $0.isNaN }) }
    }
}
