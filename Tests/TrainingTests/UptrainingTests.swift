import Checkpoints
import Kernels
import Models
import TestSupport
import Testing
import Text

@testable import Training

/// Learning from a teacher, stopping early, learning in stages.
@Suite struct UptrainingTests {
    private let config = TinyModel.config()

    private func batch(_ first: Int, _ count: Int, seq: Int = 16) -> TokenBatch {
        var (tokens, targets): ([Int32], [Int32]) = ([], [])
        for sample in first..<first + count {
            var ids = [Int32(sample * 7 % 61)]
            for _ in 0..<seq { ids.append((ids[ids.count - 1] * 5 + 3) % 61) }
            tokens += ids.dropLast()
            targets += ids.dropFirst()
        }
        return TokenBatch(batch: count, seq: seq, tokens: tokens, targets: targets)
    }

    private func data() -> TrainingData {
        TrainingData(samples: { first, count in batch(first, count) }, validation: [batch(1000, 4)])
    }

    private func plan(steps: Int, accumulation: Int = 1, peak: Double = 5e-3) -> TrainingPlan {
        TrainingPlan(
            steps: steps, batch: 4, accumulation: accumulation,
            schedule: LearningRateSchedule(shape: .constant, peak: peak, final: peak, warmupSteps: 0, steps: steps), seed: 4)
    }

    private func teacher(seed: UInt64 = 7) throws -> DecoderLM {
        try DecoderLM(config: config, parameters: TinyModel.parameters(config, seed: seed))
    }

    private func trainer(_ plan: TrainingPlan) throws -> Trainer {
        try Trainer(config: config, parameters: TinyModel.parameters(config, deviation: 0.05), plan: plan, data: data())
    }

    @Test func `a model that learns from its teacher alone comes to predict what that does`() throws {
        let teacher = try teacher()
        let input = ModelInput(batch(50, 2))
        func divergence(_ model: DecoderLM) -> Float {
            KLDivergence.rows(
                from: teacher.logits(input).storage, to: model.logits(input).storage, rows: 32, classes: config.vocabularySize
            ).reduce(0, +)
        }
        var plan = plan(steps: 60)
        plan.distillation = Distillation(teacher: teacher, weight: 1)
        let trainer = try trainer(plan)
        let before = divergence(try trainer.model())
        _ = try trainer.run { _, _ in }
        #expect(divergence(try trainer.model()) < 0.5 * before)
    }

    @Test func `with no weight on the teacher the gradients are the plain ones, and the loss shown always is the text's`() throws
    {
        let weights = TrainableWeights(TinyModel.parameters(config))
        let parts = [batch(0, 3), batch(3, 1)]
        let plain = try TrainingStep.gradients(config: config, weights: weights, parts: parts)
        for (weight, hidden) in [(0.0, 0.0), (0.7, 0.0), (0.3, 2)] {
            let distilled = try TrainingStep.gradients(
                config: config, weights: weights, parts: parts,
                distillation: Distillation(teacher: try teacher(), weight: weight, temperature: 2, hidden: hidden))
            #expect(abs(distilled.loss - plain.loss) < 1e-5)
            let equal = plain.gradients.allSatisfy { name, gradient in
                differences(distilled.gradients[name]?.array() ?? [], gradient.array(), absolute: 1e-6, relative: 1e-4).isEmpty
            }
            #expect(equal == (weight == 0))
        }
    }

    @Test func `distilling a batch in parts gives the gradients of the whole`() throws {
        let weights = TrainableWeights(TinyModel.parameters(config))
        let distillation = Distillation(teacher: try teacher(), weight: 0.5, temperature: 2, hidden: 1)
        // Divergence and likelihood are sums over tokens; the layers' distance is relative to each part's own size.
        var logits = distillation
        logits.hidden = 0
        let whole = try TrainingStep.gradients(config: config, weights: weights, parts: [batch(0, 4)], distillation: logits)
        let parts = try TrainingStep.gradients(
            config: config, weights: weights, parts: [batch(0, 1), batch(1, 3)], distillation: logits)
        for (name, gradient) in whole.gradients {
            let other = try #require(parts.gradients[name]).array()
            #expect(differences(other, gradient.array(), absolute: 1e-6, relative: 1e-4).isEmpty, "\(name)")
        }
        // A teacher's copy is at no distance from it.
        let twin = TrainableWeights(TinyModel.parameters(config, seed: 7))
        let still = try TrainingStep.gradients(
            config: config, weights: twin, parts: [batch(0, 4)],
            distillation: Distillation(teacher: try teacher(), weight: 1, hidden: 3))
        #expect(still.gradients.values.allSatisfy { $0.array().allSatisfy { abs($0) < 1e-6 } })
    }

    @Test func `a run ends at the first look that finds it good enough, and stays ended`() throws {
        var whole = plan(steps: 60)
        whole.validateEvery = 4
        var losses: [Int: Double] = [:]
        _ = try trainer(whole).run { event, _ in if case .validation(let step, let loss) = event { losses[step] = loss } }
        let target = try #require(losses[24])
        let expected = losses.filter { $0.value <= target && $0.key % 4 == 0 }.keys.min()
        var stopping = plan(steps: 60)
        stopping.stop = StopCriterion(loss: target, every: 4)
        let trainer = try trainer(stopping)
        var saved: [Int] = []
        #expect(try trainer.run { event, _ in if case .checkpointDue(let step) = event { saved.append(step) } })
        #expect(trainer.step == expected && trainer.reachedTarget && saved == [trainer.step])
        let checkpoint = Checkpoint(
            config: config, parameters: trainer.weights.parameters, trainingState: try trainer.trainingState())
        let resumed = try Trainer(resuming: checkpoint, plan: stopping, data: data())
        #expect(try resumed.run { _, _ in } && resumed.step == trainer.step)
        stopping.stop = StopCriterion(loss: 0, every: 4)
        let never = try self.trainer(stopping)
        #expect(try never.run { _, _ in } && never.step == 60 && !never.reachedTarget)
    }

    @Test func `in the first stage only key, value and output projections move`() throws {
        var staged = plan(steps: 3)
        staged.keyValueSteps = 2
        let trainer = try trainer(staged)
        let before = Dictionary(uniqueKeysWithValues: trainer.weights.entries.map { ($0.name, $0.storage.array()) })
        _ = try trainer.run { event, trainer in
            guard case .step(let report) = event else { return }
            for entry in trainer.weights.entries {
                let moves = ["k_proj", "v_proj", "o_proj"].contains { entry.name.contains($0) } || report.step == 3
                #expect((before[entry.name] != entry.storage.array()) == moves, "\(entry.name) after step \(report.step)")
            }
        }
    }
}
