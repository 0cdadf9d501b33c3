import Autograd
import Kernels
import TestSupport
import Testing

@Suite struct ReductionOpTests {
    static let cases: [(Shape, [Int])] = [
        ([3, 4], [0]), ([3, 4], [1]), ([3, 4], [0, 1]), ([2, 3, 4], [1]), ([2, 3, 4], [0, 2]), ([2, 3, 4], [-1, -2]),
        ([2, 1, 3], [1]),
        ([1, 5], [0]), ([1, 1], [0, 1]), ([2, 3, 2, 3], [0, 2]), ([2, 3, 2, 3], [1, 3]), ([40, 3], [0]), ([7], [0]),
        ([2, 3], []),
    ]

    @Test(arguments: cases)
    func `sum, mean and maximum reduce any axes`(shape: Shape, axes: [Int]) {
        // Distinct values 3/16 apart in a scrambled order, so that no step of the differences makes a tie.
        let values = (0..<shape.count).map { Float($0 * 37 % (shape.count == 37 ? 38 : 101)) * 0.1875 - 4 }
        let x = Tensor(values, shape: shape)
        for keep in [false, true] {
            #expect(GradientCheck.failures([x]) { $0[0].sum(axes, keepDims: keep) } == [])
            #expect(GradientCheck.failures([x]) { $0[0].mean(axes, keepDims: keep) } == [])
            #expect(GradientCheck.failures([x]) { $0[0].maximum(axes, keepDims: keep) } == [])
        }
        let (sums, maxima) = reference(x, axes)
        let reduced = Set(axes.map { $0 < 0 ? $0 + shape.rank : $0 })
        #expect(x.sum(axes).shape.dimensions == shape.dimensions.indices.filter { !reduced.contains($0) }.map { shape[$0] })
        #expect(
            x.sum(axes, keepDims: true).shape.dimensions == shape.dimensions.indices.map { reduced.contains($0) ? 1 : shape[$0] })
        #expect(differences(x.sum(axes).values, sums, absolute: 1e-5) == [])
        #expect(x.maximum(axes).values.map(Double.init) == maxima)
    }

    @Test(arguments: [
        ([70_000, 3], [0]), ([3, 70_000], [1]), ([300, 5, 77], [0, 2]), ([300, 5, 77], [1]), ([500, 400], [0]),
        ([2, 80_000, 2], [1]),
    ])
    func `large reductions agree with Float64`(dimensions: [Int], axes: [Int]) {
        let x = Tensor.random(Shape(dimensions), seed: 3)
        let (sums, maxima) = reference(x, axes)
        // Blocks of at most 4096 Float32 additions a lane: an error of some √4096·6·10⁻⁸ of the block's magnitude.
        #expect(differences(x.sum(axes).values, sums, absolute: 1e-3, relative: 1e-6) == [])
        #expect(x.maximum(axes).values.map(Double.init) == maxima)
    }

    private func reference(_ x: Tensor, _ axes: [Int]) -> (sums: [Double], maxima: [Double]) {
        let reduced = Set(axes.map { $0 < 0 ? $0 + x.shape.rank : $0 })
        let kept = x.shape.dimensions.indices.filter { !reduced.contains($0) }
        let count = kept.reduce(1) { $0 * x.shape[$1] }
        var sums = [Double](repeating: 0, count: count)
        var maxima = [Double](repeating: -.infinity, count: count)
        let strides = x.shape.strides
        for (index, value) in x.values.enumerated() {
            let target = kept.reduce(0) { $0 * x.shape[$1] + index / strides[$1] % x.shape[$1] }
            sums[target] += Double(value)
            maxima[target] = max(maxima[target], Double(value))
        }
        return (sums, maxima)
    }

    @Test func `reductions by hand`() {
        let x = Tensor.variable(Tensor([1, 5, 2, 4, 3, 6], shape: [2, 3]))
        #expect(x.sum(0).values == [5, 8, 8])
        #expect(x.mean(1).values == [Float(8) / 3, Float(13) / 3])
        #expect(x.maximum(1).values == [5, 6])
        // d mean = 1/6 each; d Σ of row maxima = 1 at the maxima.
        #expect(x.mean().gradients()[x]?.values == [Float](repeating: Float(1) / 6, count: 6))
        #expect(x.maximum(1).sum().gradients()[x]?.values == [0, 1, 0, 0, 0, 1])
    }

    @Test func `ties share a maximum's gradient`() {
        let x = Tensor.variable(Tensor([2, 1, 2, 2], shape: [4]))
        #expect(x.maximum().gradients()[x]?.values == [Float(1) / 3, 0, Float(1) / 3, Float(1) / 3])
    }

    @Test func `a NaN makes its maximum NaN, wherever it stands`() {
        for place in 0..<40 {
            var values = (0..<40).map(Float.init)
            values[place] = .nan
            #expect(Tensor(values, shape: [40]).maximum().scalar.isNaN)
            #expect(Tensor(values, shape: [40, 1]).maximum(0).values[0].isNaN)
            #expect(Tensor(values, shape: [20, 2]).maximum(0).values.count { $0.isNaN } == 1)
        }
    }

    @Test func `sums over nothing are zero`() {
        #expect(Tensor([], shape: [0, 3]).sum(0).values == [0, 0, 0])
        #expect(Tensor([], shape: [0]).sum().scalar == 0)
        #expect(Tensor([], shape: [2, 0]).sum(0).values == [])
    }
}
