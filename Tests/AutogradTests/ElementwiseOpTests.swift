import Autograd
import Kernels
import TestSupport
import Testing

@Suite struct ElementwiseOpTests {
    static let broadcasts: [(Shape, Shape)] = [
        ([3, 4], [3, 4]), ([3, 4], [4]), ([4], [3, 4]), ([3, 1], [1, 4]), ([2, 3, 4], [3, 1]), ([2, 1, 3, 1], [4, 1, 5]),
        ([], [2, 3]),
        ([2, 3], []), ([1], [1, 1]), ([5, 1], [5, 7]), ([0, 3], [1, 3]), ([2, 33], [33]),
    ]

    @Test(arguments: broadcasts)
    func `arithmetic broadcasts and its gradients sum over repeated axes`(a: Shape, b: Shape) {
        let x = Tensor.random(a, seed: 1)
        let y = Tensor.random(b, seed: 2, in: 1...2)
        #expect(GradientCheck.failures([x, y]) { $0[0] + $0[1] } == [])
        #expect(GradientCheck.failures([x, y]) { $0[0] - $0[1] } == [])
        #expect(GradientCheck.failures([x, y]) { $0[0] * $0[1] } == [])
        #expect(GradientCheck.failures([x, y]) { $0[0] / $0[1] } == [])
    }

    @Test func `shapes that do not broadcast have no common shape`() {
        #expect(Shape.broadcast([2, 3], [2]) == nil)
        #expect(Shape.broadcast([2, 3], [3, 3]) == nil)
        #expect(Shape.broadcast([0], [1]) == [0])
        #expect(Shape.broadcast([], []) == [])
    }

    @Test func `arithmetic by hand`() {
        let a = Tensor.variable(Tensor([1, 2, 3, 4, 5, 6], shape: [2, 3]))
        let b = Tensor.variable(Tensor([10, 20, 40], shape: [3]))
        #expect((a + b).values == [11, 22, 43, 14, 25, 46])
        #expect((a - b).values == [-9, -18, -37, -6, -15, -34])
        #expect((b / a).values == [10, 10, Float(40) / 3, 2.5, 4, Float(40) / 6])
        // d Σ a·b = b repeated over rows, and a summed over them.
        let gradients = (a * b).sum().gradients()
        #expect(gradients[a]?.values == [10, 20, 40, 10, 20, 40])
        #expect(gradients[b]?.values == [5, 7, 9])
    }

    @Test func `scalars stand on either side`() {
        let x = Tensor.random([2, 5], seed: 3, in: 1...2)
        #expect((2 * x - 1).values == x.values.map { 2 * $0 - 1 })
        #expect((1 / x).values == x.values.map { 1 / $0 })
        #expect(GradientCheck.failures([x]) { (1 - $0[0]) * 3 + 2 / $0[0] - $0[0] / 4 - (-$0[0]) } == [])
    }

    @Test func `unary functions have the right gradients`() {
        let x = Tensor.random([3, 7], seed: 4, in: -2...2)
        let positive = Tensor.random([3, 7], seed: 5, in: 0.5...2)
        #expect(GradientCheck.failures([x]) { $0[0].exp() } == [])
        #expect(GradientCheck.failures([positive], tolerance: 1e-3) { $0[0].log() } == [])
        #expect(GradientCheck.failures([positive]) { $0[0].sqrt() } == [])
        #expect(GradientCheck.failures([x]) { $0[0].tanh() } == [])
        #expect(GradientCheck.failures([x]) { $0[0].sigmoid() } == [])
        #expect(GradientCheck.failures([x]) { $0[0].silu() } == [])
        #expect(GradientCheck.failures([x]) { $0[0].gelu() } == [])
        #expect(GradientCheck.failures([x]) { $0[0].geluErf() } == [])
        // Differences are wrong across relu's kink: stay 1/8 away from it.
        let away = Tensor(x.values.map { $0 < 0 ? $0 - 0.125 : $0 + 0.125 }, shape: x.shape)
        #expect(GradientCheck.failures([away]) { $0[0].relu() } == [])
    }

    @Test func `unary functions by hand`() {
        func value(_ x: Float, _ f: (Tensor) -> Tensor) -> (Float, Float) {
            let x = Tensor.variable(Tensor(x))
            let y = f(x)
            return (y.scalar, y.gradients()[x]?.scalar ?? .nan)
        }
        #expect(value(0) { $0.exp() } == (1, 1))
        #expect(value(1) { $0.log() } == (0, 1))
        #expect(value(4) { $0.sqrt() } == (2, 0.25))
        #expect(value(0) { $0.tanh() } == (0, 1))
        #expect(value(0) { $0.sigmoid() } == (0.5, 0.25))  // σ' = σ(1 − σ)
        #expect(value(0) { $0.silu() } == (0, 0.5))  // σ + xσ'
        #expect(value(0) { $0.gelu() } == (0, 0.5))  // Φ + xφ
        #expect(value(0) { $0.geluErf() } == (0, 0.5))
        #expect(value(-3) { $0.relu() } == (0, 0))
        #expect(value(0) { $0.relu() } == (0, 0))
        #expect(value(3) { $0.relu() } == (3, 1))
        #expect(value(3) { -$0 } == (-3, -1))
        // 1·Φ(1) = 0.841344746, the tanh form is 1.5·10⁻⁴ below.
        #expect(abs(value(1) { $0.geluErf() }.0 - 0.841_344_7) < 1e-6)
        #expect(abs(value(1) { $0.gelu() }.0 - 0.841_192) < 1e-6)
    }

    @Test func `where chooses, broadcasts and keeps NaN of the other side out`() {
        let mask = Tensor([1, 0, 1], shape: [3])
        let a = Tensor.random([2, 3], seed: 6)
        let b = Tensor.random([2, 1], seed: 7)
        #expect(GradientCheck.failures([a, b]) { Tensor.where(mask, $0[0], $0[1]) } == [])
        #expect(GradientCheck.failures([b, Tensor(0.5)]) { Tensor.where(mask, $0[0], $0[1]) } == [])
        let x = Tensor.variable(Tensor([1, .nan, 3], shape: [3]))
        let y = Tensor.where([true, false, true], shape: [3], x, Tensor(7))
        #expect(y.values == [1, 7, 3])
        #expect(y.sum().gradients()[x]?.values == [1, 0, 1])
    }

    @Test func `dropout is a function of the seed, scales what it keeps, and its gradient drops the same`() {
        let ones = Tensor(repeating: 1, shape: [1000, 100])
        let dropped = ones.dropout(rate: 0.25, seed: 5)
        #expect(dropped.values == ones.dropout(rate: 0.25, seed: 5).values)
        #expect(dropped.values != ones.dropout(rate: 0.25, seed: 6).values)
        #expect(Set(dropped.values) == [0, 1 / (1 - 0.25)])
        let share = Double(dropped.values.count { $0 == 0 }) / 1e5
        // Five standard deviations of a binomial share: 5·√(0.25·0.75/10⁵) = 0.007.
        #expect(abs(share - 0.25) < 0.007)
        let x = Tensor.random([4, 9], seed: 8)
        #expect(GradientCheck.failures([x]) { $0[0].dropout(rate: 0.5, seed: 1) } == [])
        #expect(x.dropout(rate: 0, seed: 1).values == x.values)
        #expect(x.dropout(rate: 1, seed: 1).values.allSatisfy { $0 == 0 })
    }

    @Test func `dropout does not depend on how the work is split`() {
        // 200,000 elements are split over the pool; a short prefix is not.
        let long = Tensor(repeating: 1, shape: [200_000]).dropout(rate: 0.5, seed: 3).values
        let short = Tensor(repeating: 1, shape: [1_000]).dropout(rate: 0.5, seed: 3).values
        #expect(Array(long.prefix(1_000)) == short)
        // Seeds a generator step apart give unrelated masks, not shifted ones.
        let shifted = Tensor(repeating: 1, shape: [200_000]).dropout(rate: 0.5, seed: 3 &+ 0x9E37_79B9_7F4A_7C15).values
        let agreeing = zip(long.dropFirst(), shifted).count { $0 == $1 }
        #expect(abs(Double(agreeing) / 2e5 - 0.5) < 0.01)
    }
}
