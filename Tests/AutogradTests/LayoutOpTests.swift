import Autograd
import Kernels
import TestSupport
import Testing

@Suite struct LayoutOpTests {
    @Test func `every order of four axes reads the right element and has the right gradient`() {
        let shape: Shape = [2, 3, 1, 5]
        let x = Tensor.random(shape, seed: 1)
        let values = x.values
        for order in permutations([0, 1, 2, 3]) {
            let y = x.permuted(order)
            #expect(y.shape.dimensions == order.map { shape[$0] })
            let (from, to) = (shape.strides, y.shape.strides)
            for (index, value) in y.values.enumerated() {
                let source = order.enumerated().reduce(0) { sum, axis in
                    sum + index / to[axis.offset] % y.shape[axis.offset] * from[axis.element]
                }
                #expect(value == values[source])
            }
            #expect(GradientCheck.failures([x]) { $0[0].permuted(order) } == [])
        }
    }

    private func permutations(_ items: [Int]) -> [[Int]] {
        guard let last = items.last else { return [[]] }
        return permutations(items.dropLast()).flatMap { rest in
            (0...rest.count).map { place in
                var order = rest
                order.insert(last, at: place)
                return order
            }
        }
    }

    @Test(arguments: [[100, 300], [3, 65, 129], [4, 33, 8, 16]])
    func `large transpositions are exact`(dimensions: [Int]) {
        let x = Tensor.random(Shape(dimensions), seed: 2)
        #expect(x.transposed().transposed().values == x.values)
        #expect(x.transposed(0, -1).transposed(0, -1).values == x.values)
        #expect(x.transposed(0, 1).transposed(0, 1).values == x.values)
        let (rows, columns) = (x.shape[-2], x.shape[-1])
        let values = x.values
        let turned = x.transposed().values
        let start = values.count - rows * columns
        for r in 0..<rows { for c in 0..<columns { #expect(turned[start + c * rows + r] == values[start + r * columns + c]) } }
    }

    @Test func `negative zero is copied as it is`() {
        #expect(Tensor([-0.0, 1, 2, -0.0], shape: [2, 2]).transposed().values.map(\.sign) == [.minus, .plus, .plus, .minus])
    }

    @Test func `reshape keeps the elements and infers one extent`() {
        let x = Tensor.random([2, 6], seed: 3)
        #expect(x.reshaped(3, -1).shape == [3, 4])
        #expect(x.reshaped(3, -1).values == x.values)
        #expect(x.reshaped(3, 4).storage === x.storage)
        #expect(GradientCheck.failures([x]) { $0[0].reshaped(4, 3).exp() } == [])
    }

    @Test func `slices along every axis`() {
        let x = Tensor.random([4, 5, 3], seed: 4)
        for axis in -3..<3 {
            #expect(GradientCheck.failures([x]) { $0[0].slice(1..<3, axis: axis) } == [])
            #expect(GradientCheck.failures([x]) { $0[0].slice(0..<2, axis: axis) * $0[0].slice(1..<3, axis: axis) } == [])
            #expect(x.slice(2..<2, axis: axis).values == [])
        }
        let y = Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3])
        #expect(y.slice(1..<3, axis: 1).values == [2, 3, 5, 6])
        #expect(y.slice(1..<2).values == [4, 5, 6])
    }

    @Test func `concatenation along every axis, and slices undo it`() {
        for axis in 0..<3 {
            let shapes: [Shape] = [1, 3, 2].map { extent in
                var dimensions = [2, 3, 2]
                dimensions[axis] = extent
                return Shape(dimensions)
            }
            let parts = shapes.enumerated().map { Tensor.random($0.element, seed: UInt64($0.offset)) }
            #expect(GradientCheck.failures(parts) { Tensor.concat($0, axis: axis) } == [])
            let whole = Tensor.concat(parts, axis: axis - 3)
            #expect(whole.slice(1..<4, axis: axis).values == parts[1].values)
        }
        let x = Tensor.random([2, 2], seed: 9)
        #expect(GradientCheck.failures([x]) { Tensor.concat([$0[0], $0[0]], axis: 1) } == [])
        #expect(Tensor.concat([Tensor([1, 2], shape: [2]), Tensor([3], shape: [1])]).values == [1, 2, 3])
    }
}
