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
        /// Pages of each, a token in each; forks share what they have in common.
        var tables: [Int: [Int]] = [:]
        private var nextPage = 0
        var wanted: [Int: Int] = [:]
        var model: [Int: Int] = [:]
        var tenant: [Int: String] = [:]
        var finished: [Int] = []
        /// Those that wait for something else than pages.
        var waits: Set<Int> = []
        let guarantees: [Int]

        init(models: Int = 1, pages: Int, guarantees: [Int]? = nil, limits: Scheduler.Limits = Scheduler.Limits()) {
            scheduler = Scheduler(models: models, limits: limits)
            self.pages = pages
            self.guarantees = guarantees ?? [Int](repeating: 0, count: models)
        }

        mutating func add(
            _ id: Int, model: Int = 0, tenant: String = "", prompt: Int, output: Int, width: Int = 1
        ) {
            precondition(scheduler.add(id, model: model, tenant: tenant, width: width))
            self.tenant[id] = tenant
            (tokens[id], computed[id], tables[id], wanted[id], self.model[id]) = (prompt, 0, [], prompt + output, model)
        }

        mutating func fork(_ id: Int, as copy: Int) {
            (tokens[copy], computed[copy], tables[copy]) = (tokens[id], computed[id], tables[id])
            (wanted[copy], model[copy], tenant[copy]) = (wanted[id], model[id], tenant[id])
            guard scheduler.hasPlaceToFork else {
                (computed[copy], tables[copy]) = (0, [])
                return scheduler.addWaiting(copy, group: id)
            }
            scheduler.addRunning(copy, group: id)
        }

        mutating func remove(_ id: Int) {
            scheduler.remove(id)
            tables[id] = []
        }

        var used: [Int] {
            var pages = guarantees.map { _ in Set<Int>() }
            for (id, table) in tables { pages[model[id]!].formUnion(table) }
            return pages.map(\.count)
        }

        /// The pages that each tenant's sequences hold.
        var held: [String: Int] {
            var pages: [String: Set<Int>] = [:]
            for (id, table) in tables { pages[tenant[id]!, default: []].formUnion(table) }
            return pages.mapValues(\.count)
        }

        mutating func step() -> Scheduler.Plan {
            let ledger = PageLedger(free: pages - used.reduce(0, +), guarantees: guarantees, used: used)
            let (tokens, computed, tables, wanted, waits, held) = (tokens, computed, tables, wanted, waits, held)
            let view = Scheduler.View(
                left: { tokens[$0]! - computed[$0]! },
                pagesNeeded: { id, count in
                    // The last token is never computed.
                    waits.contains(id) ? nil : max(0, min(computed[id]! + count, wanted[id]! - 1) - tables[id]!.count)
                },
                pagesFreed: { id in
                    tables[id]!.count { page in !tables.contains { $0.key != id && $0.value.contains(page) } }
                }, tenantPages: { held })
            let plan = scheduler.plan(ledger, view)
            if let found = scheduler.inconsistency() { preconditionFailure(found) }
            for id in plan.exhausted { remove(id) }
            for id in plan.preempted { (self.computed[id], self.tables[id]) = (0, []) }
            for run in plan.runs {
                self.computed[run.id]! += run.count
                while self.tables[run.id]!.count < self.computed[run.id]! {
                    self.tables[run.id]!.append(nextPage)
                    nextPage += 1
                }
                precondition(self.computed[run.id]! <= self.tokens[run.id]!)
                if self.computed[run.id] == self.tokens[run.id] { self.tokens[run.id]! += 1 }
                if self.tokens[run.id]! >= wanted[run.id]! {
                    remove(run.id)
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

    @Test func `a long prompt leaves other models their shares of each step`() {
        var limits = Scheduler.Limits()
        limits.tokensPerStep = 8
        var world = World(models: 3, pages: 10_000, limits: limits)
        world.add(0, prompt: 4000, output: 1)
        #expect(world.step().runs == [.init(id: 0, count: 8)])
        world.add(1, model: 1, prompt: 1, output: 1)
        // What the short one leaves of its share goes to the long one.
        let runs = world.step().runs
        #expect(Set(runs) == [.init(id: 0, count: 7), .init(id: 1, count: 1)])
        world.add(2, model: 1, prompt: 300, output: 1)
        world.add(3, model: 2, prompt: 300, output: 1)
        var shares = [0, 0, 0]
        for _ in 0..<60 { for run in world.step().runs { shares[world.model[run.id]!] += run.count } }
        #expect(shares == [160, 160, 160])
    }

    @Test func `a flood on one model leaves others their places in the queue and among the running`() {
        var limits = Scheduler.Limits()
        (limits.running, limits.waiting) = (4, 8)
        var world = World(models: 2, pages: 10_000, limits: limits)
        for id in 0..<6 { world.add(id, prompt: 2, output: 100) }
        // Two places of the queue are the other model's.
        let ninth = world.scheduler.add(9, model: 0)
        #expect(!ninth)
        world.add(10, model: 1, prompt: 2, output: 3)
        world.add(11, model: 1, prompt: 2, output: 3)
        let third = world.scheduler.add(12, model: 1)
        #expect(!third)
        #expect(world.step().runs.map(\.id) == [0, 1, 2, 10])
        for _ in 0..<3 { _ = world.step() }
        #expect(world.finished == [10])
        #expect(world.step().runs.map(\.id).contains(11))
    }

    @Test func `who decodes takes turns where a step is too short for all`() {
        var limits = Scheduler.Limits()
        limits.tokensPerStep = 2
        var world = World(pages: 100, limits: limits)
        for id in 0..<2 { world.add(id, prompt: 1, output: 50) }
        _ = world.step()
        world.fork(1, as: 2)
        var turns = [0, 0, 0]
        for _ in 0..<9 { for run in world.step().runs { turns[run.id] += run.count } }
        #expect(turns == [6, 6, 6])
    }

    @Test func `a request for several outputs takes as many places`() {
        var limits = Scheduler.Limits()
        limits.running = 4
        var world = World(pages: 100, limits: limits)
        for id in 0..<2 { world.add(id, prompt: 1, output: 3, width: 3) }
        #expect(world.step().runs.map(\.id) == [0])
        // Once it has all it will have, those that end make room.
        world.fork(0, as: 5)
        world.scheduler.close(0)
        world.remove(5)
        #expect(world.step().runs.map(\.id) == [0, 1])
        // One that is wider than there are places runs alone.
        world = World(pages: 100, limits: limits)
        world.add(0, prompt: 1, output: 3, width: 9)
        #expect(world.step().runs.map(\.id) == [0])
    }

    /// What happens to a sequence of a small world, and before which step.
    private enum Event { case none, cancel, hold, fork }

    /// Runs a small world to its end.
    private func run(
        _ sequences: [(model: Int, prompt: Int, output: Int)], pages: Int, budget: Int, _ event: Event, _ id: Int, at: Int
    ) {
        var limits = Scheduler.Limits()
        limits.tokensPerStep = budget
        var world = World(models: 2, pages: pages, limits: limits)
        for (id, it) in sequences.enumerated() { world.add(id, model: it.model, prompt: it.prompt, output: it.output) }
        let name = "\(sequences), \(pages) pages, \(budget) a step, \(event) \(id) at \(at)"
        for step in 0..<100 {
            if world.scheduler.isIdle { return }
            if step == at, world.tokens[id].map({ $0 < world.wanted[id]! }) == true {
                switch event {
                case .none: break
                case .cancel: world.remove(id)
                case .hold: world.scheduler.hold(id)
                case .fork: if world.scheduler.running.contains(id) { world.fork(id, as: 8) }
                }
            }
            if event == .hold, step == at + 2 { world.scheduler.release(id) }
            let before = world.scheduler
            let plan = world.step()
            // A held one can have nothing to run while it is alone; nothing else may stand still.
            precondition(!plan.isEmpty || world.scheduler.isIdle, name)
            precondition(plan.exhausted.isEmpty || event == .hold, name)
            precondition(world.used.reduce(0, +) <= pages, name)
            precondition(plan.runs.reduce(0) { $0 + $1.count } <= budget, name)
            // Numbers are given in the order of arrival: of a model, a running sequence is older than a preempted one.
            for gone in plan.preempted {
                for other in world.model.keys where before.running.contains(other) && world.model[other] == world.model[gone] {
                    precondition(other <= gone || plan.preempted.contains(other), name)
                }
            }
        }
        preconditionFailure("no end: \(name)")
    }

    @Test func `every small world runs to its end`() {
        func choices(_ pages: Int) -> [(model: Int, prompt: Int, output: Int)] {
            var all: [(model: Int, prompt: Int, output: Int)] = []
            for model in 0..<2 {
                for prompt in Set([1, 2, pages]).sorted() {
                    for output in [1, 3] where prompt + output - 1 <= pages { all.append((model, prompt, output)) }
                }
            }
            return all
        }
        for pages in 1...6 {
            let choices = choices(pages)
            for budget in 1...4 {
                for first in choices {
                    run([first], pages: pages, budget: budget, .none, 0, at: 0)
                    for second in choices {
                        let two = [first, second]
                        run(two, pages: pages, budget: budget, .none, 0, at: 0)
                        for event in [Event.cancel, .hold, .fork] {
                            for id in 0..<2 { for step in 0..<6 { run(two, pages: pages, budget: budget, event, id, at: step) } }
                        }
                        for third in choices { run(two + [third], pages: pages, budget: budget, .none, 0, at: 0) }
                    }
                }
            }
        }
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
