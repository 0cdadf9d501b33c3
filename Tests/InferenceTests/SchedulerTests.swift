import Random
import Testing

@testable import Inference

@Suite struct SchedulerTests {
    /// Sequences of a page a token, run to their end.
    struct World {
        var scheduler: Scheduler
        let pages: Int
        var tokens: [Int: Int] = [:]
        var computed: [Int: Int] = [:]
        var held: [Int: Int] = [:]
        var wanted: [Int: Int] = [:]
        var model: [Int: Int] = [:]
        var finished: [Int] = []
        /// Those that wait for something else than pages.
        var waits: Set<Int> = []
        let guarantees: [Int]

        init(models: Int = 1, pages: Int, guarantees: [Int]? = nil, limits: Scheduler.Limits = Scheduler.Limits()) {
            scheduler = Scheduler(models: models, limits: limits)
            self.pages = pages
            self.guarantees = guarantees ?? [Int](repeating: 0, count: models)
        }

        mutating func add(_ id: Int, model: Int = 0, prompt: Int, output: Int) {
            precondition(scheduler.add(id, model: model, tokens: prompt))
            (tokens[id], computed[id], held[id], wanted[id], self.model[id]) = (prompt, 0, 0, prompt + output, model)
        }

        var used: [Int] {
            guarantees.indices.map { model in held.reduce(0) { $0 + (self.model[$1.key] == model ? $1.value : 0) } }
        }

        mutating func step() -> Scheduler.Plan {
            let ledger = PageLedger(free: pages - used.reduce(0, +), guarantees: guarantees, used: used)
            let (computed, held, wanted, waits) = (computed, held, wanted, waits)
            let plan = scheduler.plan(
                ledger,
                needed: { id, count in
                    // The last token is never computed.
                    waits.contains(id) ? nil : max(0, min(computed[id]! + count, wanted[id]! - 1) - held[id]!)
                }, held: { held[$0]! })
            for id in plan.exhausted { scheduler.remove(id) }
            for id in plan.exhausted { self.held[id] = 0 }
            for id in plan.preempted {
                (self.computed[id], self.held[id]) = (0, 0)
                scheduler.advance(id, computed: 0, tokens: tokens[id]!)
            }
            for run in plan.runs {
                self.computed[run.id]! += run.count
                self.held[run.id] = self.computed[run.id]
                precondition(self.computed[run.id]! <= tokens[run.id]!)
                if self.computed[run.id] == tokens[run.id] { tokens[run.id]! += 1 }
                scheduler.advance(run.id, computed: self.computed[run.id]!, tokens: tokens[run.id]!)
                if tokens[run.id]! >= wanted[run.id]! {
                    scheduler.remove(run.id)
                    self.held[run.id] = 0
                    finished.append(run.id)
                }
            }
            return plan
        }
    }

    @Test func `a prompt is cut into chunks beside those that decode`() {
        var limits = Scheduler.Limits()
        limits.tokensPerStep = 8
        var world = World(pages: 100, limits: limits)
        world.add(0, prompt: 3, output: 9)
        #expect(world.step().runs == [.init(id: 0, count: 3)])
        world.add(1, prompt: 17, output: 2)
        #expect(world.step().runs == [.init(id: 0, count: 1), .init(id: 1, count: 7)])
        #expect(world.step().runs == [.init(id: 0, count: 1), .init(id: 1, count: 7)])
        #expect(world.step().runs == [.init(id: 0, count: 1), .init(id: 1, count: 3)])
    }

    @Test func `the newest makes room, waits in front, and comes back`() {
        var world = World(pages: 10)
        world.add(0, prompt: 4, output: 6)
        world.add(1, prompt: 4, output: 4)
        #expect(world.step().runs.map(\.id) == [0, 1])
        world.add(2, prompt: 1, output: 1)
        // Five and five; then sequence 0 wants a sixth page.
        #expect(world.step().preempted.isEmpty)
        let plan = world.step()
        #expect(plan.preempted == [1] && plan.runs == [.init(id: 0, count: 1)])
        for _ in 0..<20 where !world.scheduler.isIdle { _ = world.step() }
        #expect(world.finished == [0, 1, 2] || world.finished == [0, 2, 1])
    }

    @Test func `models take turns, by the tokens they have had`() {
        var limits = Scheduler.Limits()
        limits.tokensPerStep = 10
        limits.running = 2
        var world = World(models: 2, pages: 1000, limits: limits)
        // Model 0 floods the queue; model 1 asks once in a while.
        for id in 0..<20 { world.add(id, prompt: 10, output: 1) }
        world.add(100, model: 1, prompt: 10, output: 1)
        for _ in 0..<3 { _ = world.step() }
        #expect(world.finished.contains(100))
    }

    @Test func `one that waits for a prefix keeps none behind it waiting`() {
        var world = World(pages: 12)
        world.add(0, prompt: 2, output: 3)
        world.add(1, prompt: 4, output: 3)
        world.add(2, prompt: 2, output: 3)
        world.waits = [1]
        #expect(world.step().runs.map(\.id) == [0, 2])
        world.waits = []
        #expect(world.step().runs.map(\.id) == [0, 2, 1])
    }

    @Test func `one that can never come in ends instead of waiting for ever`() {
        var world = World(pages: 5)
        world.add(0, prompt: 6, output: 2)
        world.add(1, prompt: 5, output: 1)
        #expect(world.step().exhausted == [0])
        #expect(world.step().runs == [.init(id: 1, count: 5)])
        #expect(world.scheduler.isIdle)
    }

    @Test func `a sequence that is alone without a page ends`() {
        var world = World(pages: 5)
        world.add(0, prompt: 4, output: 9)
        _ = world.step()
        _ = world.step()
        #expect(world.step().exhausted == [0])
    }

    @Test(arguments: 0..<300 as Range<UInt64>) func `whatever comes, every sequence ends and no page is promised twice`(
        seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
        var limits = Scheduler.Limits()
        limits.tokensPerStep = 1 + draw(20)
        limits.running = 1 + draw(8)
        let models = 1 + draw(3)
        let pages = 24 + draw(30)
        let guarantees = (0..<models).map { _ in draw(6) }
        var world = World(models: models, pages: pages, guarantees: guarantees, limits: limits)
        let most = pages - guarantees.reduce(0, +) - 1
        var total = 0
        for step in 0..<4000 {
            if total < 40, draw(3) == 0 {
                let prompt = 1 + draw(max(1, most / 2))
                world.add(total, model: draw(models), prompt: prompt, output: 1 + draw(max(1, most - prompt)))
                total += 1
            }
            let plan = world.step()
            precondition(plan.exhausted.isEmpty, "seed \(seed), step \(step)")
            precondition(plan.runs.reduce(0) { $0 + $1.count } <= limits.tokensPerStep)
            precondition(Set(plan.runs.map(\.id)).count == plan.runs.count)
            precondition(Set(plan.runs.map(\.id)).isDisjoint(with: plan.preempted))
            precondition(world.used.reduce(0, +) <= pages && world.scheduler.runningCount <= limits.running)
            // Something always happens.
            precondition(!plan.runs.isEmpty || !plan.preempted.isEmpty || world.scheduler.isIdle, "seed \(seed), step \(step)")
            if total == 40, world.scheduler.isIdle { break }
        }
        #expect(world.finished.sorted() == Array(0..<total), "seed \(seed)")
    }
}
