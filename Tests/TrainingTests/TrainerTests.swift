import Checkpoints
import Foundation
import Kernels
import Models
import Random
import TestSupport
import Testing
import Text

@testable import Training

@Suite struct TrainerTests {
    private let config = TinyModel.config()

    /// Sequences whose next token is a fixed function of the last one: learnable in a few steps.
    private func sequence(_ sample: Int, seq: Int = 16) -> TokenBatch {
        var random = SeededGenerator(seed: 9, stream: UInt64(sample))
        var ids = [Int32.random(in: 0..<61, using: &random)]
        for _ in 0..<seq { ids.append((ids[ids.count - 1] * 5 + 3) % 61) }
        return TokenBatch(batch: 1, seq: seq, tokens: Array(ids.dropLast()), targets: Array(ids.dropFirst()))
    }

    private func data() -> TrainingData {
        let make: @Sendable (Int, Int) -> TokenBatch = { first, count in
            let parts = (first..<first + count).map { sequence($0) }
            return TokenBatch(batch: count, seq: 16, tokens: parts.flatMap(\.tokens), targets: parts.flatMap(\.targets))
        }
        return TrainingData(samples: make, validation: [make(100_000, 4)])
    }

    private func plan(steps: Int = 12, accumulation: Int = 1, peak: Double = 3e-3, dropout: Double = 0) -> TrainingPlan {
        TrainingPlan(
            steps: steps, batch: 4, accumulation: accumulation,
            schedule: LearningRateSchedule(shape: .cosine, peak: peak, final: 0, warmupSteps: 2, steps: steps), dropout: dropout,
            seed: 4,
            checkpointEvery: 5)
    }

    private func trainer(_ plan: TrainingPlan, deviation: Double = 0.05) throws -> Trainer {
        try Trainer(config: config, parameters: TinyModel.parameters(config, deviation: deviation), plan: plan, data: data())
    }

    private func values(_ trainer: Trainer) -> [[Float]] { trainer.weights.entries.map { $0.storage.array() } }

    @Test func `training learns what can be learnt`() throws {
        let trainer = try trainer(plan(steps: 150, peak: 1e-2))
        let before = try trainer.validationLoss()
        #expect(try trainer.run { _, _ in })
        #expect(before > 3.5)
        #expect(try trainer.validationLoss() < 0.5)
    }

    @Test(arguments: [0, 0.1]) func `a resumed run is bit for bit the uninterrupted one`(dropout: Double) throws {
        let plan = plan(dropout: dropout)
        let whole = try trainer(plan)
        var losses: [Double] = []
        #expect(try whole.run { event, _ in if case .step(let report) = event { losses.append(report.loss) } })
        for stop in [1, 5, 11] {
            let first = try trainer(plan)
            #expect(try !first.run(shouldStop: { first.step == stop }) { _, _ in })
            #expect(first.step == stop)
            let scratch = ScratchDirectory()
            try Checkpoint(config: config, parameters: first.weights.parameters, trainingState: try first.trainingState())
                .save(to: scratch["checkpoint.h5"])
            let second = try Trainer(resuming: try Checkpoint.load(scratch["checkpoint.h5"]), plan: plan, data: data())
            var rest: [Double] = []
            #expect(try second.run { event, _ in if case .step(let report) = event { rest.append(report.loss) } })
            #expect(rest == Array(losses[stop...]))
            #expect(values(second) == values(whole), "stopped after \(stop)")
            #expect(try second.trainingState().json == whole.trainingState().json)
        }
    }

    @Test func `the same plan gives the same weights, bit for bit`() throws {
        let first = try trainer(plan())
        let second = try trainer(plan())
        _ = try first.run { _, _ in }
        _ = try second.run { _, _ in }
        #expect(values(first) == values(second))
    }

    @Test func `a batch in parts gives the gradients of the whole`() throws {
        let weights = TrainableWeights(TinyModel.parameters(config))
        let data = data()
        // One part scores fewer tokens: the parts are weighted by what they score.
        var whole = data.samples(0, 4)
        for position in 0..<9 { whole.targets[position] = TokenBatch.ignored }
        func part(_ rows: Range<Int>) -> TokenBatch {
            TokenBatch(
                batch: rows.count, seq: 16, tokens: Array(whole.tokens[rows.lowerBound * 16..<rows.upperBound * 16]),
                targets: Array(whole.targets[rows.lowerBound * 16..<rows.upperBound * 16]))
        }
        let once = try TrainingStep.gradients(config: config, weights: weights, parts: [whole])
        let parts = try TrainingStep.gradients(config: config, weights: weights, parts: [part(0..<1), part(1..<4)])
        #expect(abs(once.loss - parts.loss) < 1e-6 && once.scoredTokens == parts.scoredTokens)
        for (name, gradient) in once.gradients {
            let other = try #require(parts.gradients[name]).array()
            #expect(differences(other, gradient.array(), absolute: 1e-6, relative: 1e-4).isEmpty, "\(name)")
        }
    }

    @Test func `a loss that is not finite stops the run with its step and rate and leaves the weights alone`() throws {
        var parameters = TinyModel.parameters(config)
        parameters["model.norm.weight"] = Weight(shape: [32], storage: Storage(repeating: .nan, count: 32))
        let trainer = try Trainer(config: config, parameters: parameters, plan: plan(), data: data())
        let before = values(trainer).dropLast()
        let error = #expect(throws: TrainingError.self) { try trainer.run { _, _ in } }
        guard case .notFinite(let step, _, _, let rate)? = error else { Issue.record("\(String(describing: error))"); return }
        #expect(step == 1 && rate == 1.5e-3)
        #expect(values(trainer).dropLast() == before)
        #expect(error?.description.contains("step 1: the loss is nan") == true)
    }

    @Test func `a checkpoint without training state cannot be resumed, and says so`() throws {
        let checkpoint = Checkpoint(config: config, parameters: TinyModel.parameters(config))
        let error = #expect(throws: TrainingError.self) { try Trainer(resuming: checkpoint, plan: plan(), data: data()) }
        #expect(
            error?.description
                == "cannot resume: the checkpoint holds none; only the checkpoint.h5 that kvlab train writes can be resumed")
    }

    @Test func `a steady step asks the system for no tensor memory`() async {
        // In a process of its own, where no other test allocates.
        await #expect(processExitsWith: .success) {
            let tests = TrainerTests()
            let trainer = try tests.trainer(tests.plan(steps: 60))
            var counts: [Int] = []
            _ = try trainer.run { event, _ in
                if case .step = event { counts.append(StoragePool.shared.statistics.systemAllocations) }
            }
            // In which order a dictionary of gradients is walked varies, so that once in a while one block more is in use.
            precondition(counts[59] - counts[2] <= 2, "\(counts)")
        }
    }
}
