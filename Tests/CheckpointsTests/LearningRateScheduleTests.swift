import Testing

@testable import Checkpoints

struct LearningRateScheduleTests {
    private func close(_ schedule: LearningRateSchedule, _ expected: [(step: Int, rate: Double)]) {
        for (step, rate) in expected {
            #expect(
                abs(schedule.rate(step) - rate) < 1e-12, "\(schedule.shape) at \(step): \(schedule.rate(step)), expected \(rate)")
        }
    }

    /// final + 0.9·(1 + cos πp)/2 with p = (s − 4)/16: p = 1/4 gives 0.1 + 0.9·0.853553… = 0.868198…
    @Test func `cosine falls from the peak to the final rate`() {
        let schedule = LearningRateSchedule(shape: .cosine, peak: 1, final: 0.1, warmupSteps: 4, steps: 20)
        close(
            schedule,
            [
                (0, 0.25), (1, 0.5), (3, 1), (4, 1), (8, 0.8681980515339464), (12, 0.55), (19, 0.10864662381854631), (20, 0.1),
                (30, 0.1),
            ])
    }

    /// transformers.get_cosine_schedule_with_warmup (num_warmup_steps 4, num_training_steps 20): 0.5·(1 + cos πp) from step 4
    /// on, the same here; its warm-up s/4 begins with a step of rate 0 where ours, (s + 1)/4, has none.
    @Test func `cosine agrees with transformers after its warm-up`() {
        let schedule = LearningRateSchedule(shape: .cosine, peak: 1, warmupSteps: 4, steps: 20)
        close(schedule, [(4, 1), (8, 0.8535533905932737), (12, 0.5), (16, 0.14644660940672624)])
        close(schedule, [(0, 0.25), (1, 0.5), (2, 0.75)])
    }

    @Test func `linear falls evenly`() {
        let schedule = LearningRateSchedule(shape: .linear, peak: 2, final: 1, warmupSteps: 2, steps: 12)
        close(schedule, [(0, 1), (1, 2), (2, 2), (7, 1.5), (11, 1.1), (12, 1), (99, 1)])
    }

    @Test func `warmup-stable-decay holds the peak until its last part`() {
        let schedule = LearningRateSchedule(shape: .wsd, peak: 1, final: 0.5, warmupSteps: 2, steps: 20, decayFraction: 0.2)
        close(schedule, [(0, 0.5), (2, 1), (15, 1), (16, 1), (17, 0.875), (18, 0.75), (19, 0.625), (20, 0.5)])
        let none = LearningRateSchedule(shape: .wsd, peak: 1, steps: 20, decayFraction: 0)
        close(none, [(0, 1), (19, 1)])
    }

    @Test func `constant stays`() {
        close(LearningRateSchedule(shape: .constant, peak: 3, steps: 5), [(0, 3), (4, 3), (100, 3)])
    }

    @Test func `a rescaled schedule keeps its shape, warm-up included`() {
        let parent = LearningRateSchedule(shape: .cosine, peak: 1, final: 0.1, warmupSteps: 100, steps: 2000)
        let child = parent.rescaled(to: 100)
        #expect(child.warmupSteps == 5)
        #expect(child.steps == 100)
        for quarter in 1...3 {
            // Halfway through what follows the warm-up is halfway in both.
            let share = Double(quarter) / 4
            let (a, b) = (parent.rate(100 + Int(1900 * share)), child.rate(5 + Int((95 * share).rounded())))
            #expect(abs(a - b) < 0.01)
        }
        #expect(parent.rescaled(to: 2000) == parent)
        #expect(parent.rescaled(to: 3).warmupSteps == 1)
        #expect(LearningRateSchedule(shape: .linear, peak: 1, steps: 10).rescaled(to: 3).warmupSteps == 0)
    }

    @Test func `every rate lies between zero and the peak, and the steps past warm-up never rise`() {
        for shape in LearningRateSchedule.Shape.allCases {
            for (warmup, steps) in [(0, 1), (1, 1), (5, 5), (0, 7), (3, 50)] {
                let schedule = LearningRateSchedule(shape: shape, peak: 1, final: 0.1, warmupSteps: warmup, steps: steps)
                let rates = (0..<steps + 3).map(schedule.rate)
                #expect(rates.allSatisfy { $0 > 0 && $0 <= 1 })
                #expect(zip(rates.dropFirst(warmup), rates.dropFirst(warmup + 1)).allSatisfy { $0 >= $1 })
            }
        }
    }
}
