import Kernels
import Models
import Random
import TestSupport
import Testing

@testable import Inference

@Suite struct EngineTests {
    @Test func `requests served together get the tokens that each gets alone`() async throws {
        let fixture = try EngineFixture(kvHeads: [4, 2, 1]) { $0.limits.tokensPerStep = 24 }
        var running: [(Int, [Int32], Int, Generation)] = []
        for index in 0..<18 {
            let (model, prompt, count) = (index % 3, EngineFixture.prompt(1 + index * 5 % 47, index), 5 + index % 13)
            running.append((model, prompt, count, try await fixture.engine.submit(fixture.request(prompt, count, model: model))))
            // New ones arrive while others run.
            if index % 4 == 3 { await fixture.engine.step() }
        }
        await fixture.finish()
        for (model, prompt, count, generation) in running {
            let answer = await Answer(generation)
            #expect(answer.ids == fixture.expected(prompt, count, model: model) && answer.reasons == [0: .length])
        }
        await fixture.engine.dropPrefixes()
        let statistics = await fixture.engine.statistics
        #expect(statistics.freePages == statistics.pages && statistics.finished == 18)
        #expect(await fixture.engine.inconsistency() == nil)
    }

    @Test func `outputs of one prompt share its pages, and differ by their draws alone`() async throws {
        let fixture = try EngineFixture()
        func draw() async throws -> Answer {
            let generation = try await fixture.engine.submit(
                fixture.request(EngineFixture.prompt(21), 12) {
                    $0.count = 4
                    $0.sampling.temperature = 1
                    $0.sampling.seed = 5
                })
            await fixture.finish()
            return await Answer(generation)
        }
        let (first, second) = (try await draw(), try await draw())
        #expect(first.tokens.mapValues { $0.map(\.id) } == second.tokens.mapValues { $0.map(\.id) })
        #expect(first.tokens.count == 4 && Set(first.tokens.values.map { $0.map(\.id) }).count == 4)
        #expect(await fixture.engine.statistics.promptTokens == 42)
        await fixture.engine.dropPrefixes()
        #expect(await fixture.engine.statistics.freePages == 400)
    }

    @Test func `a shared prefix is computed once, and only for one tenant`() async throws {
        let fixture = try EngineFixture()
        let prefix = EngineFixture.prompt(32)
        func ask(_ tail: [Int32], tenant: String = "a") async throws -> Answer {
            let generation = try await fixture.engine.submit(fixture.request(prefix + tail, 9) { $0.tenant = tenant })
            await fixture.finish()
            return await Answer(generation)
        }
        // 256 bytes a token and layer: 4 tokens a page and block.
        #expect(try await ask([1, 2, 3]).cached == 0)
        let again = try await ask([9, 8])
        #expect(again.cached == 32 && again.ids == fixture.expected(prefix + [9, 8], 9))
        #expect(try await ask([9, 8], tenant: "b").cached == 0)
        // The whole prompt is known: its last block is computed for the logits.
        #expect(try await ask([1, 2, 3, 4]).cached == 32)
        let exact = try await ask([])
        #expect(exact.cached == 28 && exact.ids == fixture.expected(prefix, 9))
        await fixture.engine.dropPrefixes()
        #expect(await fixture.engine.statistics.freePages == 400)
    }

    @Test(arguments: [0, 2], [false, true])
    func `windowed models share prefixes, and lose what lies behind windows first`(fullEvery: Int, batchInvariant: Bool)
        async throws
    {
        // Pages of four tokens; 27 of the prompt's 32 shared ones are behind the window when it ends.
        let fixture = try EngineFixture(pages: 60) {
            $0.batchInvariant = batchInvariant
        } configure: { config, _ in
            try HybridAttention(window: 9, fullEvery: fullEvery, sinks: 2).configure(&config)
        }
        let prefix = EngineFixture.prompt(32)
        func ask(_ prompt: [Int32], _ count: Int = 9) async throws -> Int {
            let generation = try await fixture.engine.submit(fixture.request(prompt, count))
            await fixture.finish()
            let answer = await Answer(generation)
            #expect(answer.ids == fixture.expected(prompt, count))
            #expect(await fixture.engine.inconsistency() == nil)
            return answer.cached
        }
        #expect(try await ask(prefix + [1, 2, 3], 30) == 0)
        #expect(try await ask(prefix + [9, 8]) == 32)
        #expect(try await ask(Array(prefix.prefix(20)) + [9, 8]) == 20)
        // Long ones of others take the pages of what was used longest ago.
        for seed in 1...3 { #expect(try await ask(EngineFixture.prompt(90, seed), 4) == 0) }
        #expect(await fixture.engine.statistics.evicted > 0)
        _ = try await ask(prefix + [4])
        #expect(try await ask(prefix + [5, 6]) == 32)
        await fixture.engine.dropPrefixes()
        #expect(await fixture.engine.statistics.freePages == 60)
    }

    @Test func `requests that come together wait for the prefix that the first computes`() async throws {
        let fixture = try EngineFixture()
        let prefix = EngineFixture.prompt(40)
        var running: [([Int32], Generation)] = []
        for index in 0..<6 {
            let prompt = prefix + EngineFixture.prompt(5, index + 3)
            running.append((prompt, try await fixture.engine.submit(fixture.request(prompt, 6))))
        }
        await fixture.finish()
        for (prompt, generation) in running { #expect(await Answer(generation).ids == fixture.expected(prompt, 6)) }
        #expect(await fixture.engine.statistics.prefixHits == 5 * 40)
    }

    @Test func `the prompt's and the output's log-probabilities are the model's`() async throws {
        let fixture = try EngineFixture { $0.limits.tokensPerStep = 9 }
        let prompt = EngineFixture.prompt(25)
        let generation = try await fixture.engine.submit(
            fixture.request(prompt, 5) {
                $0.promptLogprobs = 2
                $0.sampling.logprobs = 3
            })
        await fixture.finish()
        let answer = await Answer(generation)
        let all = prompt + answer.ids
        let losses = fixture.models[0].losses(
            ModelInput(batch: 1, seq: all.count - 1, tokens: Array(all.dropLast())), targets: Array(all.dropFirst()))
        let found = (answer.prompt.dropFirst() + (answer.tokens[0] ?? [])).map { -($0.logprob ?? .nan) }
        #expect(answer.prompt.map(\.id) == prompt && answer.prompt[0].logprob == nil)
        // Two ways of summing over 25 keys and 48 inputs.
        #expect(differences(found, losses, absolute: 1e-4).isEmpty)
        #expect(answer.prompt[3].top.count == 2 && answer.tokens[0]?[0].top.count == 3)
        // Greedy: the token is the likeliest, its figure the very same.
        for token in answer.tokens[0] ?? [] { #expect(token.top[0].id == token.id && token.top[0].logprob == token.logprob) }
    }

    @Test func `a request for no tokens scores its prompt`() async throws {
        let fixture = try EngineFixture()
        let generation = try await fixture.engine.submit(fixture.request(EngineFixture.prompt(5), 0) { $0.promptLogprobs = 0 })
        await fixture.finish()
        let answer = await Answer(generation)
        #expect(answer.prompt.count == 5 && answer.ids.isEmpty && answer.reasons == [0: .length])
    }

    @Test func `stop tokens and stop strings end the text before them`() async throws {
        let fixture = try EngineFixture()
        let prompt = EngineFixture.prompt(6)
        let ids = fixture.expected(prompt, 20)
        let stop = try #require(ids.indices.first { ids.firstIndex(of: ids[$0]) == $0 && $0 > 3 })
        let byToken = try await fixture.engine.submit(fixture.request(prompt, 20) { $0.sampling.stopIDs = [ids[stop]] })
        await fixture.finish()
        let answer = await Answer(byToken)
        #expect(answer.ids == Array(ids[...stop]) && answer.reasons == [0: .stop])
        let whole = try await fixture.engine.submit(fixture.request(prompt, 20))
        await fixture.finish()
        let text = await Answer(whole).texts[0] ?? ""
        let middle = String(text.dropFirst(2).prefix(2))
        let byText = try await fixture.engine.submit(fixture.request(prompt, 20) { $0.sampling.stopStrings = ["never", middle] })
        await fixture.finish()
        let cut = await Answer(byText)
        #expect(cut.reasons == [0: .stop] && text.hasPrefix((cut.texts[0] ?? "?") + middle))
    }

    @Test func `a stop token lets the bytes before it out`() async throws {
        let fixture = try EngineFixture()
        // The first byte of a character of three, then the stop.
        let generation = try await fixture.engine.submit(
            fixture.request([1, 2, 3], 5) {
                $0.sampling.logitBias = [0xE2: 80, 65: 60]
                $0.sampling.presencePenalty = 50
                $0.sampling.stopIDs = [65]
            })
        await fixture.finish()
        let answer = await Answer(generation)
        #expect(answer.ids == [0xE2, 65] && answer.reasons == [0: .stop] && answer.texts == [0: "\u{FFFD}"])
    }

    @Test func `pages of a hundred and thirty models have their owners`() async throws {
        let fixture = try EngineFixture(kvHeads: [Int](repeating: 1, count: 130))
        let generation = try await fixture.engine.submit(fixture.request([1, 2, 3], 5, model: 129))
        await fixture.engine.step()
        let map = await fixture.engine.poolMap()
        #expect(map.models.indices.filter { map.models[$0].held > 0 } == [129] && map.models[129].used == 2)
        await fixture.finish()
        #expect(await Answer(generation).ids == fixture.expected([1, 2, 3], 5, model: 129))
    }

    @Test(arguments: 0..<24 as Range<UInt64>) func `each step gets on, however tight the pool and whatever is asked`(
        seed: UInt64
    ) async throws {
        var random = SeededGenerator(seed: seed)
        func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
        let scratch = ScratchDirectory()
        let (pages, step, running) = (24 + draw(40), 1 + draw(24), 1 + draw(6))
        // Layers of 4 and 3 tokens a page, or of 2 and 1, so that blocks end within pages; or a window.
        let fixture = try EngineFixture(kvHeads: [2, 4], pages: pages) {
            ($0.limits.tokensPerStep, $0.limits.running, $0.tier) = (step, running, try FileTier(directory: scratch.path))
            $0.preemption = [nil, .swap, .recompute][Int(seed % 3)]
        } configure: { config, index in
            config.heads = .all(12)
            config.kvHeads = index == 0 ? .each([2, 3]) : .each([4, 6])
            if index == 1, seed % 2 == 1 { try HybridAttention(window: 6, fullEvery: 2).configure(&config) }
        }
        var open: [(Int, [Int32], Int, Bool, Generation)] = []
        for _ in 0..<14 {
            let model = draw(2)
            let capacity = fixture.engine.capacity(of: model)
            let count = draw(4) == 0 ? capacity : 1 + draw(capacity)
            let (prompt, output, kind) = (EngineFixture.prompt(count, draw(2)), 1 + draw(12), draw(4))
            let request = fixture.request(prompt, output, model: model) {
                if kind == 0 { $0.beams = BeamOptions(width: 3) }
                if kind == 1 { $0.count = 3 }
            }
            let generation = try await fixture.engine.submit(request)
            open.append((model, prompt, min(output, capacity - count + 1), kind == 0, generation))
            for _ in 0..<draw(3) { await fixture.engine.step() }
        }
        var stalled = 0
        for _ in 0..<5000 {
            guard await fixture.engine.step() else { break }
            stalled = max(stalled, await fixture.engine.stalled)
        }
        #expect(await fixture.engine.scheduler.isIdle && stalled < 40)
        for (model, prompt, count, isSearch, generation) in open {
            let answer = await Answer(generation)
            // Whatever happened on the way, each is as long as was promised, and what it would have been alone.
            #expect(answer.ids.count == count, "\(prompt.count) tokens for model \(model)")
            if !isSearch {
                #expect(answer.tokens.values.allSatisfy { $0.map(\.id) == fixture.expected(prompt, count, model: model) })
            }
        }
        await fixture.engine.dropPrefixes()
        let statistics = await fixture.engine.statistics
        #expect(statistics.freePages == pages && scratch.names.isEmpty)
    }

    @Test func `with batch invariance the figures are the same bit for bit`() async throws {
        func figures(_ others: Int, pages: Int, tokensPerStep: Int) async throws -> [Float] {
            let fixture = try EngineFixture(pages: pages) {
                $0.batchInvariant = true
                $0.preemption = .recompute
                $0.limits.tokensPerStep = tokensPerStep
            }
            for index in 0..<others {
                _ = try await fixture.engine.submit(fixture.request(EngineFixture.prompt(19 + index, index), 30))
            }
            if others > 2 {
                // Somebody has asked nearly the same before.
                let before = try await fixture.engine.submit(fixture.request(EngineFixture.prompt(28), 2))
                await fixture.engine.step()
                _ = before
            }
            let generation = try await fixture.engine.submit(
                fixture.request(EngineFixture.prompt(29), 40) { $0.sampling.logprobs = 0 })
            await fixture.finish()
            if pages < 100 { #expect(await fixture.engine.statistics.recomputed > 0) }
            return await Answer(generation).tokens[0]?.map { $0.logprob ?? .nan } ?? []
        }
        let alone = try await figures(0, pages: 400, tokensPerStep: 512)
        #expect(alone.count == 40)
        #expect(try await figures(7, pages: 400, tokensPerStep: 512) == alone)
        #expect(try await figures(3, pages: 400, tokensPerStep: 11) == alone)
        #expect(try await figures(4, pages: 70, tokensPerStep: 32) == alone)
    }

    @Test func `ten thousand requests of all kinds, dropped at random, leave no page held`() async throws {
        let scratch = ScratchDirectory()
        // A model of plain layers, one with a window, one of latents.
        let fixture = try EngineFixture(kvHeads: [4, 1, 4], pages: 150) {
            $0.tier = try FileTier(directory: scratch.path)
            $0.limits.tokensPerStep = 96
        } configure: { config, index in
            if index == 1 { try HybridAttention(window: 9, fullEvery: 2).configure(&config) }
            if index == 2 {
                try LatentDesign(shape: LatentShape(rank: 24, ropeHeadDim: 8, valueHeadDim: 16)).configure(&config)
            }
        }
        var random = SeededGenerator(seed: 3)
        func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
        var open: [Generation] = []
        var submitted = 0
        while submitted < 10_000 {
            for _ in 0..<1 + draw(12) where submitted < 10_000 {
                // Most are short; some fill much of the pool.
                let isLong = draw(30) == 0
                let (prompt, output) = isLong ? (20 + draw(30), 10 + draw(20)) : (1 + draw(18), draw(6))
                let kind = draw(20)
                let request = fixture.request(EngineFixture.prompt(prompt, draw(4)), output, model: draw(3)) {
                    if kind < 2 { $0.count = 3 }
                    if kind == 2 { $0.beams = BeamOptions(width: 3) }
                    $0.sampling.temperature = 1
                    $0.tenant = draw(3) == 0 ? "x" : ""
                }
                open.append(try await fixture.engine.submit(request))
                submitted += 1
            }
            await fixture.engine.step()
            // Some clients leave: by a word, or by letting go of their stream.
            while open.count > 60 {
                let gone = open.remove(at: draw(open.count))
                if draw(2) == 0 { await fixture.engine.cancel(gone.id) }
            }
            // The engine hears of streams let go in tasks of theirs, which a busy machine runs late.
            while await fixture.engine.statistics.waiting > 200 {
                await Task.yield()
                await fixture.engine.step()
            }
        }
        open = []
        await fixture.finish()
        await fixture.engine.dropPrefixes()
        let statistics = await fixture.engine.statistics
        #expect(statistics.freePages == 150 && statistics.running == 0 && statistics.waiting == 0)
        #expect(await fixture.engine.inconsistency() == nil && scratch.names.isEmpty)
        // All that the engine does about a lack of pages was done.
        #expect(statistics.recomputed + statistics.swapped > 20 && statistics.evicted > 100 && statistics.prefixHits > 0)
    }

    @Test func `what cannot be served is refused in words`() async throws {
        let fixture = try EngineFixture(kvHeads: [4], pages: 20) { $0.limits.waiting = 1 }
        let engine = fixture.engine
        await #expect(throws: InferenceError.emptyPrompt) { try await engine.submit(fixture.request([], 5)) }
        await #expect(throws: InferenceError.noModel(3)) { try await engine.submit(fixture.request([1], 5, model: 3)) }
        // 512 bytes a token and layer, two layers, 20 pages.
        await #expect(throws: InferenceError.promptTooLong(tokens: 21, limit: 20)) {
            try await engine.submit(fixture.request(EngineFixture.prompt(21), 5))
        }
        await #expect(throws: InferenceError.sampling(option: "n", value: "1000000000", expected: "1 to 128")) {
            try await engine.submit(fixture.request([1], 5) { $0.count = 1_000_000_000 })
        }
        await #expect(throws: InferenceError.self) {
            try await engine.submit(fixture.request([1], 5) { $0.sampling.temperature = .nan })
        }
        let waiting = try await engine.submit(fixture.request([1], 3))
        await #expect(throws: InferenceError.queueFull(1)) { try await engine.submit(fixture.request([1], 3)) }
        await engine.stop()
        await #expect(throws: InferenceError.stopping) { try await engine.submit(fixture.request([1], 3)) }
        await engine.run()
        #expect(await Answer(waiting).ids.count == 3)
    }
}
