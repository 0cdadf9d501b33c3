import Inference
import JSON
import Testing

@testable import Server

@Suite struct PlayTests {
    /// The counts of a pool's answer, summed over its map: used, shared and idle pages of each model, and all cells.
    private func sums(_ pool: JSONValue, models: Int) -> (pages: [[Int]], cells: Int) {
        var (pages, cells) = ([[Int]](repeating: [0, 0, 0], count: models), 0)
        for run in pool["map"]?["runs"]?.array ?? [] {
            let count = run.array?[0].int ?? 0
            cells += count
            for held in run.array?.dropFirst() ?? [] {
                let values = held.array?.compactMap(\.int) ?? []
                for kind in 0..<3 { pages[values[0]][kind] += count * values[kind + 1] }
            }
        }
        return (pages, cells)
    }

    private func expectConsistent(_ pool: JSONValue) {
        let models = pool["models"]?.array ?? []
        let counts = models.map { model in
            ["used_pages", "shared_pages", "idle_prefix_pages"].map { model[$0]?.int ?? -1 }
        }
        let (pages, cells) = sums(pool, models: models.count)
        #expect(pages == counts && models.compactMap { $0["pages"]?.int } == counts.map { $0.reduce(0, +) })
        #expect(counts.joined().reduce(0, +) + (pool["free_pages"]?.int ?? -1) == pool["pages"]?.int)
        #expect(cells * (pool["map"]?["pages_per_cell"]?.int ?? 0) == pool["pages"]?.int)
        // What sequences hold alone is used, each once.
        let alone = (pool["sequences"]?.array ?? []).map { ($0["pages"]?.int ?? 0) - ($0["shared_pages"]?.int ?? 0) }
        #expect(alone.reduce(0, +) == counts.reduce(0) { $0 + $1[0] })
    }

    @Test func `one connection carries every model's outputs, their cache and the pool`() async throws {
        let server = try await ServerFixture()
        let prompt = String(repeating: "a cache of keys and values ", count: 5)
        let answer = try await server.post(
            "/v1/kvlab/play",
            #"{"models":["mqa","mha"],"prompt":"\#(prompt)","max_tokens":100,"temperature":0,"ignore_eos":true,"n":6}"#)
        let events = answer.events
        #expect(answer.status == 200 && answer.text.hasSuffix("data: [DONE]\n\n"))
        #expect(events.first?["models"]?.array?.compactMap { $0["model"]?.string } == ["mqa", "mha"])
        #expect(events.first?["models"]?.array?.compactMap { $0["prompt_tokens"]?.int } == [135, 135])
        for (place, model) in [1, 0].enumerated() {
            let whole = try await server.post(
                "/v1/completions",
                #"{"model":"\#(["mha", "mqa"][model])","prompt":"\#(prompt)","max_tokens":100,"temperature":0,"ignore_eos":true}"#
            )
            let text = try #require(whole.json?["choices"]?.array?[0]["text"]?.string)
            for output in 0..<6 {
                let own = events.flatMap { $0["outputs"]?.array ?? [] }
                    .filter { $0["model"]?.int == place && $0["output"]?.int == output }
                #expect(own.compactMap { $0["text"]?.string }.joined() == text)
                #expect(own.last?["tokens"]?.int == 100 && own.last?["finish_reason"]?.string == "length")
                let cache = own.compactMap { $0["cache_bytes"]?.int }
                // All tokens but the last, whose keys nobody has asked for, in four-byte numbers.
                #expect(cache == cache.sorted() && cache.last == [256, 1024][place] * 234)
            }
        }
        // Metrics count each model's prompts and outputs: a play of six outputs, and a completion.
        let metrics = try await server.send("GET", "/metrics").text
        for model in ["mha", "mqa"] {
            #expect(metrics.contains("prompt_tokens_total{model_name=\"\(model)\"} 270\n"))
            #expect(metrics.contains("generation_tokens_total{model_name=\"\(model)\"} 700\n"))
        }
        let pools = events.compactMap { $0["pool"] }
        #expect(pools.count >= 2)
        for pool in pools { expectConsistent(pool) }
        #expect(pools.last?["running"]?.int == 0)
        #expect(try await server.becomesIdle())
    }

    @Test func `the pool tells pages in use from shared ones and from idle prefixes, at any resolution`() async throws {
        let server = try await ServerFixture { _, engine in engine.limits.tokensPerStep = 64 }
        let prompt = (0..<100).map { "\($0)" }.joined(separator: ",")
        let body = #"{"model":"mha","prompt":[\#(prompt)],"max_tokens":150,"ignore_eos":true,"n":4,"stream":true}"#
        let load = Task { try await server.post("/v1/completions", body) }
        var sawShared = false
        for _ in 0..<2000 where !sawShared {
            let pool = try #require(try await server.send("GET", "/v1/kvlab/pool").json)
            expectConsistent(pool)
            let model = pool["models"]?.array?[0]
            sawShared = (model?["shared_pages"]?.int ?? 0) > 0 && (model?["used_pages"]?.int ?? 0) > 0
        }
        #expect(sawShared)
        _ = try await load.value
        #expect(try await server.becomesIdle())
        for cells in [1, 16, 4096] {
            let answer = try await server.send("GET", "/v1/kvlab/pool?cells=\(cells)")
            let pool = try #require(answer.json)
            expectConsistent(pool)
            #expect(sums(pool, models: 2).cells == cells)
            let model = pool["models"]?.array?[0]
            #expect(model?["used_pages"]?.int == 0 && model?["shared_pages"]?.int == 0)
            #expect((model?["idle_prefix_pages"]?.int ?? 0) > 0)
        }
        for cells in ["0", "-1", "4097", "x", ""] {
            let answer = try await server.send("GET", "/v1/kvlab/pool?cells=\(cells)")
            #expect(answer.status == 400 && answer.error?.contains("'cells'") == true, "\(cells)")
        }
    }

    @Test func `a pool of two million pages is told in few bytes`() async throws {
        let server = try await ServerFixture { _, engine in
            engine.pageBytes = 512
            engine.cacheBytes = 1 << 30
        }
        _ = try await server.post("/v1/completions", #"{"model":"mha","prompt":"abcdefgh","max_tokens":100,"ignore_eos":true}"#)
        let answer = try await server.send("GET", "/v1/kvlab/pool")
        #expect(answer.json?["pages"]?.int == 2 << 20 && answer.body.count < 4096)
        expectConsistent(try #require(answer.json))
    }

    @Test func `what cannot be played is said`() async throws {
        let server = try await ServerFixture()
        let long = String(repeating: "a", count: 300)
        let cases: [(String, Int, String)] = [
            (#"{"prompt":"a"}"#, 400, "'models' is missing"), (#"{"models":[],"prompt":"a"}"#, 400, "'models'"),
            (#"{"models":"mha","prompt":"a"}"#, 400, "'models'"), (#"{"models":["mha",1],"prompt":"a"}"#, 400, "'models'"),
            (#"{"models":["mha","gpt"],"prompt":"a"}"#, 404, "'gpt' does not exist"),
            (#"{"models":["mha"],"prompt":["a","b"]}"#, 400, "one prompt"),
            (#"{"models":["mha"],"prompt":"a","best_of":3}"#, 400, "best_of"),
            (#"{"models":["mha"],"prompt":"a","n":1000}"#, 400, "'n'"),
            (#"{"models":["mha","mqa"],"prompt":"\#(long)"}"#, 400, "300 bytes"),
        ]
        for (body, status, part) in cases {
            let answer = try await server.post("/v1/kvlab/play", body)
            #expect(
                answer.status == status && answer.error?.contains(part) == true, "\(body.prefix(80)): \(answer.text.prefix(300))")
        }
        #expect(try await server.becomesIdle())
    }

    @Test func `a player who leaves frees the pages of every model`() async throws {
        let server = try await ServerFixture { _, engine in engine.prefixSharing = false }
        let task = Task {
            try await server.post(
                "/v1/kvlab/play",
                #"{"models":["mha","mqa"],"prompt":"abcdef","max_tokens":240,"ignore_eos":true,"n":32}"#)
        }
        try await Task.sleep(for: .milliseconds(60))
        task.cancel()
        _ = try? await task.value
        #expect(try await server.becomesIdle())
        let statistics = await server.engine.statistics
        #expect(statistics.freePages == statistics.pages)
    }

    @Test func `each model answers a chat of its own, as /v1/chat/completions does`() async throws {
        let server = try await ServerFixture()
        let chats = [
            #"[{"role":"user","content":"one"}]"#,
            #"[{"role":"system","content":"be brief"},{"role":"user","content":"two"},{"role":"assistant","content":"2"},{"role":"user","content":"three"}]"#,
        ]
        let rest = #""max_tokens":24,"temperature":0"#
        let answer = try await server.post(
            "/v1/kvlab/play", #"{"models":["mqa","mha"],"chats":[\#(chats.joined(separator: ","))],\#(rest)}"#)
        #expect(answer.status == 200)
        for (place, model) in ["mqa", "mha"].enumerated() {
            let whole = try await server.post(
                "/v1/chat/completions", #"{"model":"\#(model)","messages":\#(chats[place]),\#(rest)}"#)
            let own = answer.events.flatMap { $0["outputs"]?.array ?? [] }.filter { $0["model"]?.int == place }
            let content = try #require(whole.json?["choices"]?.array?[0]["message"]?["content"]?.string)
            #expect(!content.isEmpty && own.compactMap { $0["text"]?.string }.joined() == content)
            #expect(
                answer.events.first?["models"]?.array?[place]["prompt_tokens"]?.int
                    == whole.json?["usage"]?["prompt_tokens"]?.int)
        }
        for (fields, sentence) in [
            (#""chats":[\#(chats[0])]"#, "'chats' is not a list of 2 chats, one for each model"),
            (#""chats":[\#(chats[0]),[]]"#, "'messages' is not a list of at least one message"),
            (#""chats":[\#(chats[0]),\#(chats[0])],"prompt":"x""#, "'chats' stands in place of 'prompt'; send one of them"),
        ] {
            let refused = try await server.post("/v1/kvlab/play", #"{"models":["mqa","mha"],\#(fields)}"#)
            #expect(refused.status == 400 && refused.json?["error"]?["message"]?.string == sentence, "\(refused.text)")
        }
    }
}
