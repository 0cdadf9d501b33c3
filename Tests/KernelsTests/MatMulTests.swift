import Kernels
import TestSupport
import Testing

@Suite struct MatMulTests {
    private func naive(
        _ a: Matrix, _ b: Matrix, _ c: [Float], _ m: Int, _ n: Int, _ k: Int, _ stride: Int, _ offset: Int, alpha: Double,
        beta: Double
    )
        -> [Double]
    {
        let (x, y) = (a.storage.array(), b.storage.array())
        var result = c.map(Double.init)
        for i in 0..<m {
            for j in 0..<n {
                var sum = 0.0
                for p in 0..<k {
                    let left = x[a.offset + (a.transposed ? p * a.stride + i : i * a.stride + p)]
                    let right = y[b.offset + (b.transposed ? j * b.stride + p : p * b.stride + j)]
                    sum += Double(left) * Double(right)
                }
                let at = offset + i * stride + j
                result[at] = alpha * sum + (beta == 0 ? 0 : beta * result[at])
            }
        }
        return result
    }

    @Test func `products agree for every transposition, stride, offset and beta`() {
        for (m, n, k) in [(1, 1, 1), (1, 9, 5), (7, 1, 3), (5, 6, 0), (1, 4, 0), (33, 17, 9), (130, 70, 65), (20, 300, 40)] {
            for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
                for beta: Float in [0, 1, 0.5] {
                    let (ar, ac) = ta ? (k, m) : (m, k)
                    let (br, bc) = tb ? (n, k) : (k, n)
                    let a = Matrix(
                        Storage(copying: random(3 + ar * (ac + 2), seed: 1)), offset: 3, rows: ar, columns: ac, stride: ac + 2,
                        transposed: ta)
                    let b = Matrix(
                        Storage(copying: random(1 + br * (bc + 1), seed: 2)), offset: 1, rows: br, columns: bc, stride: bc + 1,
                        transposed: tb)
                    // With beta 0 what was there must not matter, not even NaN.
                    let start = random(2 + m * (n + 4), seed: 3).map { beta == 0 ? Float.nan : $0 }
                    let c = Storage(copying: start)
                    MatMul.multiply(a, b, into: Matrix(c, offset: 2, rows: m, columns: n, stride: n + 4), alpha: 2, beta: beta)
                    let expected = naive(a, b, start, m, n, k, n + 4, 2, alpha: 2, beta: Double(beta))
                    #expect(differences(c.array(), expected, absolute: 1e-4) == [], "\(m)×\(n)×\(k) \(ta) \(tb) beta \(beta)")
                }
            }
        }
    }

    @Test func `batched products`() {
        let (count, m, n, k) = (9, 33, 40, 25)
        let a = Storage(copying: random(count * m * k, seed: 1))
        let b = Storage(copying: random(count * k * n, seed: 2))
        let c = Storage(count: count * m * n)
        let job: @Sendable (Int) -> (a: Matrix, b: Matrix, c: Matrix) = { i in
            (
                Matrix(a, offset: i * m * k, rows: m, columns: k), Matrix(b, offset: i * k * n, rows: k, columns: n),
                Matrix(c, offset: i * m * n, rows: m, columns: n)
            )
        }
        MatMul.summed(count, terms: 1) { output, _ in job(output) }
        var expected = [Double](repeating: 0, count: c.count)
        for i in 0..<count {
            let (x, y, _) = job(i)
            expected = naive(x, y, expected.map { Float($0) }, m, n, k, n, i * m * n, alpha: 1, beta: 0)
        }
        #expect(differences(c.array(), expected, absolute: 2e-5) == [])
        // Sums of three terms each, into what is there.
        let sum = Storage(repeating: 1, count: 3 * m * n)
        MatMul.summed(3, terms: 3, beta: 2) { output, term in
            let (x, y, _) = job(output * 3 + term)
            return (x, y, Matrix(sum, offset: output * m * n, rows: m, columns: n))
        }
        let totals = (0..<3 * m * n).map { at in
            2 + (0..<3).reduce(0.0) { $0 + expected[(at / (m * n) * 3 + $1) * m * n + at % (m * n)] }
        }
        #expect(differences(sum.array(), totals, absolute: 5e-5) == [])
    }
}
