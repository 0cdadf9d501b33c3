import Checkpoints
import Foundation
import Kernels
import Models
import TestSupport
import Testing

@testable import Training

@Suite struct OptimizationTests {
    private func weights(_ values: [Float], shape: [Int]) -> TrainableWeights {
        var parameters = Parameters()
        parameters["w"] = Weight(shape: shape, storage: Storage(copying: values))
        return TrainableWeights(parameters)
    }

    @Test func `AdamW's first update by hand`() throws {
        // m̂ = g, v̂ = g²: the step is lr·g/(|g| + ε); decay takes lr·0.1 of a matrix first, of a vector nothing.
        for (shape, decayed) in [([1, 2], 0.99), ([2], 1.0)] {
            let weights = weights([1, -2], shape: shape)
            var optimizer = AdamW(.init(beta1: 0.9, beta2: 0.95, epsilon: 0, weightDecay: 0.1), weights: weights)
            optimizer.update(weights, ["w": Storage(copying: [0.5, 3])], learningRate: 0.1, scale: 1)
            #expect(
                differences(
                    weights.entries[0].storage.array(), [Float(decayed - 0.1), Float(-2 * decayed - 0.1)], absolute: 1e-6
                ).isEmpty)
        }
    }

    /// torch.optim.AdamW(lr=0.01, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.1) on p = [[0.5, -1.5, 2.0]] with gradients
    /// [[0.1, -0.2, 0.3]]·k, k = 1, 2, 3; computed again below in Float64 from the paper's formulas.
    @Test func `three updates follow the formulas of the paper`() {
        let weights = weights([0.5, -1.5, 2], shape: [1, 3])
        var optimizer = AdamW(.init(beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay: 0.1), weights: weights)
        var (p, m, v) = ([0.5, -1.5, 2.0], [0.0, 0, 0], [0.0, 0, 0])
        for k in 1...3 {
            let gradient = [0.1, -0.2, 0.3].map { $0 * Double(k) }
            optimizer.update(weights, ["w": Storage(copying: gradient.map { Float($0) })], learningRate: 0.01, scale: 1)
            for i in 0..<3 {
                p[i] *= 1 - 0.01 * 0.1
                m[i] = 0.9 * m[i] + 0.1 * gradient[i]
                v[i] = 0.95 * v[i] + 0.05 * gradient[i] * gradient[i]
                p[i] -= 0.01 * (m[i] / (1 - pow(0.9, Double(k)))) / ((v[i] / (1 - pow(0.95, Double(k)))).squareRoot() + 1e-8)
            }
        }
        #expect(differences(weights.entries[0].storage.array(), p.map { Float($0) }, absolute: 1e-6).isEmpty)
    }

    @Test func `clipping scales to the limit and leaves smaller gradients alone`() {
        let gradients = ["a": Storage(copying: [3]), "b": Storage(copying: [0, 4])]
        #expect(GradientClipping.globalNorm(gradients, order: ["a", "b"]) == 5)
        #expect(abs(GradientClipping.scale(norm: 5, limit: 1) - 0.2) < 1e-6)
        #expect(GradientClipping.scale(norm: 0.5, limit: 1) == 1)
        #expect(GradientClipping.scale(norm: 5, limit: nil) == 1)
    }

    @Test(arguments: [
        (LearningRateSchedule.Shape.cosine, [0.5, 1, 1, 0.8682, 0.55, 0.2318]), (.linear, [0.5, 1, 1, 0.775, 0.55, 0.325]),
        (.wsd, [0.5, 1, 1, 1, 1, 0.55]), (.constant, [0.5, 1, 1, 1, 1, 1]),
    ]) func `each schedule's rates by hand`(shape: LearningRateSchedule.Shape, rates: [Double]) {
        // Two steps of warm-up, four of progress 0, ¼, ½, ¾; wsd decays over the last ⅓ of six: from step 4 on.
        let schedule = LearningRateSchedule(shape: shape, peak: 1, final: 0.1, warmupSteps: 2, steps: 6, decayFraction: 1.0 / 3)
        for (step, rate) in rates.enumerated() { #expect(abs(schedule.rate(step) - rate) < 1e-4, "\(shape) step \(step)") }
        if shape != .constant { #expect(abs(schedule.rate(6) - 0.1) < 1e-9) }
    }

    @Test func `a rescaled schedule keeps its shape, warm-up included`() {
        let parent = LearningRateSchedule(shape: .cosine, peak: 1e-3, final: 1e-4, warmupSteps: 100, steps: 1000)
        let child = parent.rescaled(to: 50)
        #expect(child.warmupSteps == 5 && child.steps == 50 && child.peak == parent.peak)
        for step in stride(from: 10, to: 50, by: 5) { #expect(abs(child.rate(step) - parent.rate(step * 20)) < 1e-9) }
        #expect(parent.rescaled(to: 4).warmupSteps == 1)
    }
}
