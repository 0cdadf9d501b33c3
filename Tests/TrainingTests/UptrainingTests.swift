import Checkpoints
import Inference
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

    // MARK: Through a compressed cache

    private func cache(_ policy: String, _ encoding: CacheEncoding = .int8) throws -> CompressedTraining {
        var settings = EvictionSettings()
        (settings.policy, settings.budget, settings.interval) = (policy, .tokens(6), 3)
        return CompressedTraining(encoding, try settings.retention(), prompt: 7)
    }

    @Test func `a teacher sees whole keys and values where its student's are compressed`() throws {
        let twin = TrainableWeights(TinyModel.parameters(config, seed: 7))
        let distillation = Distillation(teacher: try teacher(), weight: 1)
        for cache in [try cache("h2o", .float32), CompressedTraining(.kivi2), try cache("streaming-llm")] {
            // Blocks of 32 tokens are sealed within sequences of 48.
            let parts = [batch(0, 2, seq: 48)]
            let plain = try TrainingStep.gradients(config: config, weights: twin, parts: parts)
            let found = try TrainingStep.gradients(
                config: config, weights: twin, parts: parts, distillation: distillation, cache: cache)
            // A copy is at no distance from its teacher but for the cache.
            #expect(found.gradients.values.contains { $0.array().contains { abs($0) > 1e-4 } } && found.loss != plain.loss)
        }
        let whole = try TrainingStep.gradients(
            config: config, weights: twin, parts: [batch(0, 2, seq: 48)], distillation: distillation,
            cache: CompressedTraining(.float32))
        #expect(whole.gradients.values.allSatisfy { $0.array().allSatisfy { abs($0) < 1e-6 } })
    }

    @Test func `a batch through a cache in parts gives the gradients of the whole`() throws {
        let weights = TrainableWeights(TinyModel.parameters(config))
        for cache in [try cache("h2o"), CompressedTraining(.kivi4)] {
            func gradients(_ parts: [TokenBatch], _ recompute: Recompute = .none) throws -> [String: Storage] {
                try TrainingStep.gradients(
                    config: config, weights: weights, parts: parts, compute: ComputeOptions(recompute: recompute),
                    distillation: Distillation(teacher: teacher()), cache: cache
                ).gradients
            }
            let whole = try gradients([batch(0, 4, seq: 48)])
            for other in [
                try gradients([batch(0, 1, seq: 48), batch(1, 3, seq: 48)]), try gradients([batch(0, 4, seq: 48)], .block),
            ] {
                for (name, gradient) in whole {
                    let found = try #require(other[name]).array()
                    #expect(differences(found, gradient.array(), absolute: 1e-6, relative: 1e-4).isEmpty, "\(name)")
                }
            }
        }
    }

    @Test func `a model that is trained through a cache comes to predict through it what its teacher does without`() throws {
        let teacher = try teacher()
        let cache = try cache("streaming-llm", .bfloat16)
        func divergence(_ trainer: Trainer) throws -> Float {
            let plain = ModelInput(batch(50, 2))
            let input = try cache.through([plain], config, trainer.weights.parameters)[0]
            return KLDivergence.rows(
                from: teacher.logits(plain).storage, to: try trainer.model().logits(input).storage, rows: 32,
                classes: config.vocabularySize
            ).reduce(0, +)
        }
        var plan = plan(steps: 60)
        (plan.distillation, plan.cache) = (Distillation(teacher: teacher, weight: 1), cache)
        let through = try trainer(plan)
        let before = try divergence(through)
        _ = try through.run { _, _ in }
        #expect(try divergence(through) < 0.7 * before)
        // Held-out losses are those of the cache that is trained through.
        let own = try cache.through(data().validation.map { ModelInput($0) }, config, through.weights.parameters)
        #expect(try through.validationLoss() == data().validationLoss(through.model(), own))
        #expect(try through.validationLoss() != data().validationLoss(through.model()))
    }

    @Test func `a run through a cache that was interrupted ends as one that was not`() throws {
        for cache in [try cache("h2o"), try cache("random", .k8v4)] {
            var plan = plan(steps: 6, accumulation: 2)
            (plan.distillation, plan.cache, plan.dropout) = (Distillation(teacher: try teacher()), cache, 0.1)
            let whole = try trainer(plan)
            #expect(try whole.run { _, _ in })
            let first = try trainer(plan)
            #expect(try !first.run(shouldStop: { first.step == 3 }) { _, _ in })
            let checkpoint = Checkpoint(
                config: config, parameters: first.weights.parameters, trainingState: try first.trainingState())
            let second = try Trainer(resuming: checkpoint, plan: plan, data: data())
            #expect(try second.run { _, _ in })
            for (a, b) in zip(whole.weights.entries, second.weights.entries) {
                #expect(a.storage.array() == b.storage.array(), "\(a.name)")
            }
        }
    }

    @Test func `a cache that training cannot go through is refused`() throws {
        func refusal(_ encoding: CacheEncoding, _ config: ModelConfig, _ change: (inout EvictionSettings) -> Void) throws
            -> String
        {
            var settings = EvictionSettings()
            (settings.policy, settings.budget) = ("h2o", .tokens(8))
            change(&settings)
            let training = CompressedTraining(encoding, try settings.retention(), prompt: 8)
            let error = #expect(throws: InferenceError.self) { try training.check(config) }
            return error.map { "\($0)" } ?? ""
        }
        #expect(
            try refusal(.kivi4, config) { _ in }
                == "kivi4 encodes 32 tokens together, 'h2o' evicts single ones; use another --kv-dtype, or no --evict")
        #expect(
            try refusal(.int8, config) { $0.merge = "cam" }
                == "'cam' changes kept values when slots are evicted, which training through a cache does not; leave the merge out"
        )
        #expect(
            try refusal(.q8, config) { _ in }
                == "q8_0 stores blocks of 32 elements, layer 0 caches vectors of 12; use another --kv-dtype")
        #expect(
            try refusal(.int8, TinyDesigns.windowed.config) { _ in }
                == "'h2o' cannot act on the model: every layer of the model has a sliding window already")
        // The prompt's end evicts nothing of a prompt within the budget, and later decisions lie behind the sequence.
        let cache = try cache("h2o")
        #expect(cache.evicts(config, tokens: 8) && !cache.evicts(config, tokens: 7))
    }
}
