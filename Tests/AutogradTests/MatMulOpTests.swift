import Autograd
import Kernels
import TestSupport
import Testing

@Suite struct MatMulOpTests {
    /// Batch axes of a and of b.
    static let batches: [([Int], [Int])] = [
        ([], []), ([3], []), ([], [3]), ([3], [3]), ([2, 3], [3]), ([2, 1], [1, 3]), ([1], [2]), ([2, 2], [2, 2]), ([0], []),
    ]

    @Test(arguments: batches)
    func `batches broadcast, operands may be transposed`(aBatch: [Int], bBatch: [Int]) {
        let (m, k, n) = (3, 4, 2)
        for (transposeA, transposeB) in [(false, false), (true, false), (false, true), (true, true)] {
            let a = Tensor.random(Shape(aBatch + (transposeA ? [k, m] : [m, k])), seed: 1)
            let b = Tensor.random(Shape(bBatch + (transposeB ? [n, k] : [k, n])), seed: 2)
            let c = a.matmul(b, transposeA: transposeA, transposeB: transposeB)
            // By its definition, through ops that are tested elsewhere: Σ over k of a[.., m, 1, k]·b[.., 1, n, k].
            let left = (transposeA ? a.transposed() : a).reshaped(aBatch + [m, 1, k])
            let right = (transposeB ? b : b.transposed()).reshaped(bBatch + [1, n, k])
            let expected = (left * right).sum(-1)
            #expect(c.shape == expected.shape)
            #expect(differences(c.values, expected.values, absolute: 1e-6) == [])
            #expect(
                GradientCheck.failures([a, b]) { $0[0].matmul($0[1], transposeA: transposeA, transposeB: transposeB) } == [])
        }
    }

    @Test func `a product by hand`() {
        let a = Tensor.variable(Tensor([1, 2, 3, 4], shape: [2, 2]))
        let b = Tensor.variable(Tensor([5, 6, 7, 8], shape: [2, 2]))
        let c = a.matmul(b)
        #expect(c.values == [19, 22, 43, 50])
        // With C̄ all ones: Ā = C̄·Bᵀ, rows (5 + 6, 7 + 8); B̄ = Aᵀ·C̄, rows of column sums (1 + 3), (2 + 4).
        let gradients = c.sum().gradients()
        #expect(gradients[a]?.values == [11, 15, 11, 15])
        #expect(gradients[b]?.values == [4, 4, 6, 6])
    }

    @Test func `an inner extent of 0 gives zeros`() {
        for m in [1, 3] {
            let a = Tensor.variable(Tensor([], shape: [m, 0]))
            let b = Tensor.variable(Tensor([], shape: [2, 0]))
            let c = a.matmul(b, transposeB: true)
            #expect(c.values == [Float](repeating: 0, count: 2 * m))
            #expect(c.sum().gradients()[a]?.shape == [m, 0])
        }
    }

    @Test func `large products are split over the pool and agree`() {
        let a = Tensor.random([4, 130, 70], seed: 3)
        let b = Tensor.random([70, 90], seed: 4)
        let whole = a.matmul(b).values
        for batch in 0..<4 {
            let part = a.slice(batch..<batch + 1).reshaped(130, 70).matmul(b).values
            #expect(differences(Array(whole[batch * 130 * 90..<(batch + 1) * 130 * 90]), part, absolute: 1e-5) == [])
        }
    }
}
