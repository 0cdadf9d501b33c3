import Autograd
import Foundation
import Kernels
import TestSupport
import Testing

@Suite struct ModelOpTests {
    @Test(arguments: [[3, 5], [1], [2, 3, 17], [2, 33], [4, 1]])
    func `softmax and log-softmax over any axis`(dimensions: [Int]) {
        let x = Tensor.random(Shape(dimensions), seed: 1, in: -2...2)
        for axis in 0..<dimensions.count {
            #expect(GradientCheck.failures([x]) { $0[0].softmax(axis) } == [])
            #expect(GradientCheck.failures([x]) { $0[0].logSoftmax(axis) } == [])
            #expect(differences(x.softmax(axis).sum(axis).values, x.sum(axis).values.map { _ in 1.0 }, absolute: 1e-6) == [])
            #expect(differences(x.logSoftmax(axis).exp().values, x.softmax(axis).values, absolute: 1e-6) == [])
        }
    }

    @Test func `softmax by hand, and far from zero`() {
        let half = Tensor([log(1), log(3)], shape: [2])
        #expect(differences(half.softmax().values, [0.25, 0.75], absolute: 1e-7) == [])
        #expect(Tensor([1000, 1000], shape: [2]).softmax().values == [0.5, 0.5])
        #expect(Tensor([-.infinity, 0], shape: [2]).softmax().values == [0, 1])
        #expect(Tensor([.nan, 0], shape: [2]).softmax().values.allSatisfy { $0.isNaN })
    }

    @Test func `cross-entropy scores the mean of the rows with a target`() {
        let logits = Tensor.random([2, 3, 7], seed: 2, in: -2...2)
        let targets: [Int32] = [0, 6, -100, 3, -100, 3]
        #expect(GradientCheck.failures([logits]) { $0[0].crossEntropy(targets) } == [])
        #expect(GradientCheck.failures([logits]) { $0[0].crossEntropy(targets) * 3 } == [])
        let picked = logits.logSoftmax().values
        let scored = targets.indices.filter { targets[$0] >= 0 }
        let mean = -scored.reduce(0) { $0 + picked[$1 * 7 + Int(targets[$1])] } / Float(scored.count)
        #expect(abs(logits.crossEntropy(targets).scalar - mean) < 1e-6)
        let before = logits.values
        let variable = Tensor.variable(logits)
        let none = variable.crossEntropy([Int32](repeating: -100, count: 6))
        #expect(none.scalar == 0)
        #expect(none.gradients()[variable]?.values.allSatisfy { $0 == 0 } == true)
        #expect(logits.values == before)
    }

    @Test func `cross-entropy by hand`() {
        // softmax = (1/4, 3/4): −ln ¾, gradient (1/4, 3/4 − 1).
        let x = Tensor.variable(Tensor([0, log(3)], shape: [1, 2]))
        let loss = x.crossEntropy([1])
        #expect(abs(loss.scalar - 0.287_682_07) < 1e-6)
        #expect(differences(loss.gradients()[x]?.values ?? [], [0.25, -0.25], absolute: 1e-6) == [])
    }

    @Test(arguments: [[1, 1], [2, 3], [2, 2, 16], [3, 37]])
    func `RMSNorm and LayerNorm`(dimensions: [Int]) {
        let x = Tensor.random(Shape(dimensions), seed: 3, in: 1...3)
        let width = x.shape[-1]
        let weight = Tensor.random([width], seed: 4)
        let bias = Tensor.random([width], seed: 5)
        #expect(GradientCheck.failures([x, weight]) { $0[0].rmsNorm(weight: $0[1], epsilon: 1e-2) } == [])
        // The epsilon keeps the fifth derivative at rows of equal values within the differences' reach.
        #expect(GradientCheck.failures([x, weight, bias]) { $0[0].layerNorm(weight: $0[1], bias: $0[2], epsilon: 1) } == [])
        let direct = x / ((x * x).mean([-1], keepDims: true) + 1e-2).sqrt() * weight
        #expect(differences(x.rmsNorm(weight: weight, epsilon: 1e-2).values, direct.values, absolute: 1e-6) == [])
        let centred = x - x.mean([-1], keepDims: true)
        let normed = centred / ((centred * centred).mean([-1], keepDims: true) + 1e-2).sqrt() * weight + bias
        #expect(differences(x.layerNorm(weight: weight, bias: bias, epsilon: 1e-2).values, normed.values, absolute: 2e-6) == [])
    }

    @Test func `norms by hand, and their weights' gradients over many rows`() {
        let x = Tensor([3, 4], shape: [1, 2])
        let ones = Tensor([1, 1], shape: [2])
        // mean x² = 12.5.
        #expect(
            differences(
                x.rmsNorm(weight: ones, epsilon: 0).values, [3 / 12.5.squareRoot(), 4 / 12.5.squareRoot()], absolute: 1e-6) == [])
        #expect(differences(x.layerNorm(weight: ones, bias: ones, epsilon: 0).values, [0, 2] as [Float], absolute: 1e-6) == [])
        // 1,500 rows of 70 are summed in several chunks: as the ops' composition does it.
        let many = Tensor.random([1500, 70], seed: 6, in: 1...2)
        let weight = Tensor.variable(Tensor.random([70], seed: 7))
        let bias = Tensor.variable(Tensor.random([70], seed: 8))
        let upstream = Tensor.random([1500, 70], seed: 9)
        let rms = (many.rmsNorm(weight: weight, epsilon: 1e-5) * upstream).sum().gradients()[weight]
        let direct = (many / ((many * many).mean([-1], keepDims: true) + 1e-5).sqrt() * upstream).sum(0)
        #expect(differences(rms?.values ?? [], direct.values, absolute: 1e-3) == [])
        let layer = (many.layerNorm(weight: weight, bias: bias, epsilon: 1e-5) * upstream).sum().gradients()
        #expect(differences(layer[bias]?.values ?? [], upstream.sum(0).values, absolute: 1e-3) == [])
        let centred = many - many.mean([-1], keepDims: true)
        let unit = centred / ((centred * centred).mean([-1], keepDims: true) + 1e-5).sqrt()
        #expect(differences(layer[weight]?.values ?? [], (unit * upstream).sum(0).values, absolute: 1e-3) == [])
    }

    @Test func `a norm adds its gradient to what is there`() {
        let x = Tensor.random([3, 8], seed: 10, in: 1...2)
        let weight = Tensor.random([8], seed: 11)
        #expect(GradientCheck.failures([x, weight]) { $0[0] * 2 + $0[0].rmsNorm(weight: $0[1], epsilon: 1e-2) } == [])
        #expect(GradientCheck.failures([weight]) { x.rmsNorm(weight: $0[0], epsilon: 1e-2) } == [])
    }

    @Test func `rotary turns planes by position, and back`() {
        let table = RotaryTable(positions: 16, headDim: 6, theta: 100)
        let x = Tensor.random([2, 3, 2, 6], seed: 12)
        #expect(GradientCheck.failures([x]) { $0[0].rotary(table, positions: [0, 5, 15]) } == [])
        #expect(GradientCheck.failures([x]) { $0[0].rotary(table, positions: [0, 5, 15, 3, 2, 1]) } == [])
        // Plane 0 turns by the position itself: (1, 0) at position 2 becomes (cos 2, sin 2).
        let unit = Tensor([1, 0, 0, 0, 0, 0], shape: [1, 1, 6]).rotary(table, positions: [2])
        #expect(differences(unit.values, [cos(2.0), 0, 0, sin(2.0), 0, 0], absolute: 1e-7) == [])
        // Scores depend on the distance alone.
        let (q, k) = (Tensor.random([1, 1, 6], seed: 13), Tensor.random([1, 1, 6], seed: 14))
        func score(_ i: Int32, _ j: Int32) -> Float {
            (q.rotary(table, positions: [i]) * k.rotary(table, positions: [j])).sum().scalar
        }
        #expect(abs(score(7, 3) - score(12, 8)) < 1e-6)
    }
}
