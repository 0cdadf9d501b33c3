import Random
import Testing

@testable import Inference

/// What tenants that compete are sure of, whatever the others ask for.
@Suite struct TenantTests {
    typealias World = SchedulerTests.World

    private func limits(step: Int, running: Int = 256, tenants: Int = 1) -> Scheduler.Limits {
        var limits = Scheduler.Limits()
        (limits.tokensPerStep, limits.running, limits.tenants) = (step, running, tenants)
        return limits
    }

    /// The tokens that each tenant has in so many steps.
    private func tokens(_ world: inout World, steps: Int) -> [String: Int] {
        var counts: [String: Int] = [:]
        for _ in 0..<steps { for run in world.step().runs { counts[world.tenant[run.id]!, default: 0] += run.count } }
        return counts
    }

    @Test func `who decodes much leaves a short step's equal part to who prompts`() {
        var world = World(pages: 10_000, limits: limits(step: 8))
        for id in 0..<20 { world.add(id, tenant: "a", prompt: 1, output: 300) }
        for _ in 0..<20 { _ = world.step() }
        world.add(100, tenant: "b", prompt: 40, output: 50)
        // Four tokens a step for ten steps; then one a step is all it asks for.
        #expect(tokens(&world, steps: 10) == ["a": 40, "b": 40])
        #expect(tokens(&world, steps: 20) == ["a": 140, "b": 20])
    }

    @Test func `odd tokens go round`() {
        var world = World(pages: 10_000, limits: limits(step: 2))
        for (id, tenant) in ["a", "b", "c"].enumerated() { world.add(id, tenant: tenant, prompt: 900, output: 1) }
        #expect(tokens(&world, steps: 300) == ["a": 200, "b": 200, "c": 200])
        // A step of one token, too: each has its turn.
        world = World(pages: 10_000, limits: limits(step: 1))
        for (id, tenant) in ["a", "b", "c"].enumerated() { world.add(id, tenant: tenant, prompt: 2, output: 90) }
        #expect(tokens(&world, steps: 240) == ["a": 80, "b": 80, "c": 80])
    }

    @Test func `a tenant that is alone has every place and every token`() {
        var world = World(pages: 10_000, limits: limits(step: 8, running: 6, tenants: 5))
        for id in 0..<9 { world.add(id, tenant: "a", prompt: 1, output: 300) }
        #expect(world.step().runs.map(\.id) == [0, 1, 2, 3, 4, 5])
        #expect(tokens(&world, steps: 5) == ["a": 30])
    }

    @Test func `places are given back to a tenant that comes, down to an equal part`() {
        var world = World(pages: 10_000, limits: limits(step: 64, running: 8))
        world.add(0, tenant: "a", prompt: 1, output: 400, width: 8)
        _ = world.step()
        for id in 1..<8 { world.fork(0, as: id) }
        world.scheduler.close(0)
        for id in 50..<56 { world.add(id, tenant: "b", prompt: 3, output: 200) }
        // Those of a are safe until they have decoded their tokens.
        for _ in 0..<Scheduler.safeTokens { #expect(world.step().preempted.isEmpty) }
        #expect(world.step().preempted == [7, 6, 5, 4])
        #expect(Set(world.step().runs.map(\.id)) == [0, 1, 2, 3, 50, 51, 52, 53])
        // A third's part is two places.
        for id in 70..<73 { world.add(id, tenant: "c", prompt: 1, output: 5) }
        var steps = 0
        while !world.finished.contains(71), steps < 60 {
            _ = world.step()
            steps += 1
        }
        #expect(steps <= Scheduler.safeTokens + 6)
    }

    @Test func `further outputs wait for places while others compete`() {
        var world = World(pages: 10_000, limits: limits(step: 64, running: 4))
        world.add(0, tenant: "a", prompt: 1, output: 60, width: 6)
        world.add(10, tenant: "b", prompt: 1, output: 60)
        _ = world.step()
        for id in 1..<6 { world.fork(0, as: id) }
        world.scheduler.close(0)
        #expect(world.scheduler.runningCount == 4 && world.scheduler.waitingCount == 3)
        for _ in 0..<400 where !world.scheduler.isIdle { _ = world.step() }
        #expect(world.finished.sorted() == [0, 1, 2, 3, 4, 5, 10])
    }

    @Test func `pages are given back to a tenant that comes, down to an equal part, and no sequence of it is preempted`() {
        var world = World(pages: 120, limits: limits(step: 64))
        for id in 0..<6 { world.add(id, tenant: "a", prompt: 10, output: 100) }
        for _ in 0..<11 { _ = world.step() }
        #expect(world.held["a"] == 120)
        world.add(50, tenant: "b", prompt: 20, output: 40)
        var wait = 0
        while world.held["b", default: 0] == 0, wait < 100 {
            _ = world.step()
            wait += 1
        }
        #expect(wait <= Scheduler.safeTokens + 1)
        // From now on it has a token a step, to the end.
        for _ in 0..<39 { #expect(!world.step().preempted.contains(50)) }
        #expect(world.finished.contains(50))
        for _ in 0..<2000 where !world.scheduler.isIdle { _ = world.step() }
        #expect(world.finished.count == 7)
    }

    @Test func `a sequence larger than an equal part comes in although others keep coming`() {
        var world = World(pages: 100, limits: limits(step: 32))
        var next = 100
        func come() {
            world.add(next, tenant: "a", prompt: 10, output: 20)
            next += 1
        }
        for _ in 0..<6 { come() }
        _ = world.step()
        world.add(0, tenant: "b", prompt: 80, output: 15)
        var steps = 0
        while !world.finished.contains(0), steps < 200 {
            if world.scheduler.waitingCount < 8 { come() }
            _ = world.step()
            steps += 1
        }
        // As many tokens of the other as it has to compute, those that run ended, its own.
        #expect(steps <= 80 + 20 + 20 + 15)
    }

    @Test func `each tenant is sure of a part of the queue, one alone of all but the others' parts`() {
        var limits = limits(step: 1, running: 1, tenants: 3)
        limits.waiting = 12
        // Half of twelve for three, two each.
        #expect(limits.waitingOfTenant == 8)
        var world = World(pages: 100, limits: limits)
        for id in 0..<8 { world.add(id, tenant: "a", prompt: 1, output: 1) }
        func add(_ id: Int, _ tenant: String) -> Bool { world.scheduler.add(id, model: 0, tenant: tenant) }
        #expect(!add(8, "a") && add(9, "b") && add(10, "b") && !add(11, "b") && add(12, "c") && add(13, "c") && !add(14, "c"))
    }

    @Test func `a tenant without sequences is forgotten`() {
        var world = World(pages: 100)
        for id in 0..<1000 {
            world.add(id, tenant: "tenant \(id)", prompt: 1, output: 1)
            _ = world.step()
        }
        #expect(world.scheduler.isIdle && world.scheduler.tenants.isEmpty)
    }

    /// What tenants could use of the next step where places and pages are plenty.
    private func wanted(_ world: World) -> [String: Int] {
        var wanted: [String: Int] = [:]
        for (id, tokens) in world.tokens where world.scheduler.entries[id] != nil {
            wanted[world.tenant[id]!, default: 0] += tokens - world.computed[id]!
        }
        return wanted
    }

    @Test(arguments: 0..<200 as Range<UInt64>) func `each has its part of every step, and no step is shorter than what is wanted`(
        seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
        let limits = limits(step: 1 + draw(24))
        let (models, tenants) = (1 + draw(3), 1 + draw(5))
        var world = World(models: models, pages: 100_000, limits: limits)
        var total = 0
        var without: [String: Int] = [:]
        for step in 0..<400 {
            for _ in 0..<draw(3) where total < 60 {
                // The first asks for much more than the others.
                let tenant = draw(2) == 0 ? 0 : draw(tenants)
                world.add(
                    total, model: draw(models), tenant: "\(tenant)", prompt: 1 + draw(tenant == 0 ? 60 : 12), output: 1 + draw(20)
                )
                total += 1
            }
            let wanted = wanted(world)
            var given: [String: Int] = [:]
            for run in world.step().runs { given[world.tenant[run.id]!, default: 0] += run.count }
            let part = limits.tokensPerStep / max(1, wanted.count)
            for (tenant, count) in wanted {
                precondition(given[tenant, default: 0] >= min(count, part), "seed \(seed), step \(step): \(wanted), \(given)")
                without[tenant] = given[tenant] == nil ? without[tenant, default: 0] + 1 : 0
                // A step of fewer tokens than tenants: each has its turn, new ones first.
                precondition(without[tenant, default: 0] <= 2 * tenants, "seed \(seed), step \(step)")
            }
            let sum = wanted.values.reduce(0, +)
            precondition(
                given.values.reduce(0, +) == min(sum, limits.tokensPerStep), "seed \(seed), step \(step): \(given) of \(wanted)")
        }
    }

    @Test(arguments: 0..<300 as Range<UInt64>)
    func `whoever stays within an equal part comes in within bounded steps, and all end`(
        seed: UInt64
    ) {
        var random = SeededGenerator(seed: seed)
        func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
        let tenants = 2 + draw(3)
        let limits = limits(step: tenants + draw(20), running: tenants + draw(8))
        let (models, pages) = (1 + draw(2), 30 + draw(60))
        var world = World(models: models, pages: pages, limits: limits)
        // Sequences above an equal part compute their prompts and decode what makes them safe, one after the other at worst.
        let bound = 2 * (tenants * pages / limits.tokensPerStep + Scheduler.safeTokens) + tenants
        var (total, nextFork) = (0, 1000)
        var waits: [String: Int] = [:]
        for step in 0..<20_000 {
            if total < 40, draw(3) == 0 {
                let greedy = draw(2) == 0
                let prompt = 1 + draw(greedy ? pages / 2 : pages / 8)
                let output = 1 + draw(greedy ? pages - prompt : pages / 8)
                world.add(
                    total, model: draw(models), tenant: greedy ? "greedy" : "\(draw(tenants - 1))", prompt: prompt, output: output
                )
                total += 1
            }
            // The greedy one's sequences have several outputs.
            if let source = world.scheduler.running.first(where: { world.tenant[$0] == "greedy" && $0 < 1000 }), draw(6) == 0,
                nextFork < 1030
            {
                world.fork(source, as: nextFork)
                nextFork += 1
            }
            let plan = world.step()
            precondition(plan.exhausted.isEmpty, "seed \(seed), step \(step)")
            precondition(world.used.reduce(0, +) <= pages)
            precondition(!plan.runs.isEmpty || !plan.preempted.isEmpty || world.scheduler.isIdle, "seed \(seed), step \(step)")
            for tenant in (0..<tenants - 1).map({ "\($0)" }) {
                // What wants no more than an eighth of the pages and waits while nothing of its tenant runs.
                let waiting = world.scheduler.tenants[tenant]?.waitingCount ?? 0
                let runs = world.scheduler.running.contains { world.tenant[$0] == tenant }
                waits[tenant] = waiting > 0 && !runs ? waits[tenant, default: 0] + 1 : 0
                precondition(waits[tenant, default: 0] <= bound, "seed \(seed), step \(step): \(tenant) waits, bound \(bound)")
            }
            if total == 40, world.scheduler.isIdle { break }
        }
        #expect(world.scheduler.isIdle && world.finished.count == total + nextFork - 1000, "seed \(seed)")
    }
}
