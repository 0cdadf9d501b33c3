import Autograd
import Foundation
import TestSupport
import Testing

@Suite struct DivergenceOpTests {
    @Test(arguments: [1, 2.5] as [Float]) func `the divergence from a teacher has the gradient of its formula`(temperature: Float)
    {
        let logits = Tensor.random([3, 5], seed: 1, in: -2...2)
        let teacher = Tensor.random([3, 5], seed: 2, in: -2...2)
        let scored = [true, false, true]
        func composed(_ x: Tensor) -> Tensor {
            let p = (teacher * (1 / temperature)).softmax()
            let terms = p * ((teacher * (1 / temperature)).logSoftmax() - (x * (1 / temperature)).logSoftmax())
            let marks = Tensor([1, 0, 1], shape: [3, 1])
            return (terms * marks).sum() * (temperature * temperature / 2)
        }
        let fused = logits.divergence(fromTeacher: teacher, temperature: temperature, scored: scored)
        #expect(abs(fused.scalar - composed(logits).scalar) < 1e-5)
        #expect(
            GradientCheck.failures([logits]) {
                $0[0].divergence(fromTeacher: teacher, temperature: temperature, scored: scored, normalizer: 3)
            } == [])
    }

    @Test func `by hand, against a certain teacher, and of nothing`() {
        // Teacher (½, ½), model (¾, ¼): ½·ln(½/¾) + ½·ln(½/¼) = ½·ln(4/3). Gradient: q − p = (¼, −¼).
        let x = Tensor.variable(Tensor([Float(log(3.0)), 0], shape: [1, 2]))
        let loss = x.divergence(fromTeacher: Tensor([1, 1], shape: [1, 2]), scored: [true])
        #expect(abs(Double(loss.scalar) - 0.5 * log(4.0 / 3)) < 1e-6)
        let gradient = loss.gradients()[x]?.values ?? []
        #expect(differences(gradient, [0.25, -0.25], absolute: 1e-6) == [])
        #expect(x.divergence(fromTeacher: x.detached, scored: [true]).scalar == 0)
        #expect(x.divergence(fromTeacher: Tensor([1, 1], shape: [1, 2]), scored: [false]).scalar == 0)
    }
}
