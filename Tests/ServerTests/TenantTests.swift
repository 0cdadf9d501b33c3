import Foundation
import Inference
import JSON
import Testing

@testable import Server

/// What keys see and have of each other.
@Suite struct TenantTests {
    private func bearer(_ key: String) -> [String: String] { ["Authorization": "Bearer " + key] }

    private func server(_ change: (inout ServerOptions, inout EngineOptions) -> Void = { _, _ in }) async throws -> ServerFixture
    {
        try await ServerFixture { options, engine in
            (options.apiKeys, options.adminKey) = (["a", "b"], "root")
            engine.limits.tenants = ServerOptions.tenants(apiKeys: options.apiKeys, adminKey: options.adminKey)
            change(&options, &engine)
        }
    }

    /// Outputs of key a that fill the pool several times over, until the task is cancelled.
    private func load(_ server: ServerFixture, n: Int = 128) -> Task<Void, Never> {
        let body = #"{"model":"mha","prompt":"abcdefgh","max_tokens":240,"ignore_eos":true,"n":\#(n),"stream":true}"#
        return Task {
            while !Task.isCancelled { _ = try? await server.post("/v1/completions", body, headers: bearer("a")) }
        }
    }

    private func waits(_ server: ServerFixture, running: Int) async throws {
        for _ in 0..<2000 where await server.engine.statistics.running < running { try await Task.sleep(for: .milliseconds(5)) }
        #expect(await server.engine.statistics.running >= running)
    }

    @Test func `a key's 128 outputs hold another key up for a bounded number of steps, however long they are`() async throws {
        // Books checked at each step take longer than the step.
        let server = try await server { $1.checksEachStep = false }
        let load = load(server)
        try await waits(server, running: 100)
        // The pool is full by then, and a's outputs put each other back.
        for _ in 0..<2000 where await server.engine.statistics.recomputed == 0 { try await Task.sleep(for: .milliseconds(5)) }
        for _ in 0..<4 {
            let before = await server.engine.statistics.steps
            let answer = try await server.post(
                "/v1/completions", #"{"model":"mha","prompt":"What now?","max_tokens":10,"ignore_eos":true}"#,
                headers: bearer("b"))
            let steps = await server.engine.statistics.steps - before
            #expect(answer.status == 200)
            // A step that was under way, those that make another's outputs safe to preempt, the prompt and nine tokens more; and
            // some until the answer and the counter are read.
            #expect(steps <= 16 + 1 + 10 + 20, "\(steps) steps")
        }
        // The pool has room for some of them at a time.
        let statistics = await server.engine.statistics
        #expect(statistics.running > 1 && statistics.running + statistics.waiting > 64)
        load.cancel()
        await load.value
        #expect(try await server.becomesIdle())
        #expect(await server.engine.inconsistency() == nil)
    }

    @Test func `a key sees its own sequences, the admin's key all of them, and both the pages in use`() async throws {
        let server = try await server()
        let load = load(server, n: 6)
        try await waits(server, running: 6)
        func pool(_ key: String) async throws -> JSONValue {
            try #require(try await server.send("GET", "/v1/kvlab/pool", headers: bearer(key)).json)
        }
        for _ in 0..<20 {
            let others = try await pool("b")
            #expect(others["sequences"]?.array?.isEmpty == true && others["running"]?.int == 0 && others["waiting"]?.int == 0)
            // The pool's map needs all pages.
            #expect(others["models"]?.array?[0]["pages"]?.int ?? 0 > 0)
        }
        var (own, all) = (0, 0)
        for _ in 0..<20 {
            own = max(own, try await pool("a")["sequences"]?.array?.count ?? 0)
            all = max(all, try await pool("root")["sequences"]?.array?.count ?? 0)
        }
        #expect(own == 6 && all == 6)
        // The playground's frames show no more.
        let play = try await server.post(
            "/v1/kvlab/play", #"{"models":["mqa"],"prompt":"xyz","max_tokens":30,"ignore_eos":true}"#, headers: bearer("b"))
        let frames = play.events.compactMap { $0["pool"] }
        #expect(!frames.isEmpty)
        for frame in frames {
            #expect(
                frame["sequences"]?.array?.allSatisfy { $0["model"]?.string == "mqa" } == true
                    && (frame["running"]?.int ?? 9) <= 1)
        }
        load.cancel()
        await load.value
    }

    @Test func `metrics are the admin's where there is one, the health and the page everybody's`() async throws {
        let server = try await server()
        let refused = try await server.send("GET", "/metrics", headers: bearer("a"))
        #expect(refused.status == 403 && refused.json?["error"]?["code"]?.string == "admin_key_required")
        #expect(try await server.send("GET", "/metrics", headers: bearer("root")).status == 200)
        #expect(try await server.send("GET", "/metrics").status == 401)
        #expect(try await server.send("GET", "/v1/models", headers: bearer("root")).status == 200)
        #expect(try await server.send("GET", "/health").status == 200)
        let open = try await ServerFixture { options, _ in options.adminKey = "root" }
        #expect(try await open.send("GET", "/v1/models").status == 200)
        #expect(try await open.send("GET", "/metrics").status == 403)
        let plain = try await ServerFixture { options, _ in options.apiKeys = ["a"] }
        #expect(try await plain.send("GET", "/metrics", headers: bearer("a")).status == 200)
    }

    @Test func `callers are told apart by their keys, and by nothing else`() {
        let ring = KeyRing(["a", "b"], admin: "root")
        let (a, b, root) = (
            ring.caller(authorization: "Bearer a"), ring.caller(authorization: "bearer b"),
            ring.caller(authorization: "Bearer root")
        )
        #expect(ring.tenants == 3 && Set([a?.tenant, b?.tenant, root?.tenant]).count == 3)
        #expect(a?.tenant.count == 64 && a?.seesAll == false && root?.seesAll == true)
        #expect(a == ring.caller(authorization: "BEARER a"))
        for header in [nil, "", "Bearer", "Bearer ", "a", "Bearer c", "Basic a"] {
            #expect(ring.caller(authorization: header) == nil)
        }
        // Without keys all are one.
        let open = KeyRing([], admin: nil)
        #expect(open.tenants == 1)
        for header in [nil, "Bearer x", "Bearer y"] {
            #expect(open.caller(authorization: header) == Caller(tenant: "", seesAll: true))
        }
        let watched = KeyRing([], admin: "root")
        #expect(watched.tenants == 2 && watched.caller(authorization: "Bearer x") == Caller())
        #expect(watched.caller(authorization: "Bearer root")?.seesAll == true)
    }

    @Test func `a key has a bounded number of requests at work, whatever other keys have`() async throws {
        let server = try await server { options, _ in options.limits.keyRequests = 2 }
        let body = #"{"model":"mha","prompt":"a","max_tokens":240,"ignore_eos":true,"n":8}"#
        let answers = try await withThrowingTaskGroup(of: ServerFixture.Answer.self) { group in
            for _ in 0..<6 { group.addTask { try await server.post("/v1/completions", body, headers: bearer("a")) } }
            group.addTask { try await server.post("/v1/completions", body, headers: bearer("b")) }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        let refused = answers.filter { $0.status == 429 }
        #expect(!refused.isEmpty && refused.count <= 4 && answers.allSatisfy { [200, 429].contains($0.status) })
        for answer in refused {
            #expect(answer.headers["retry-after"] == "1" && answer.json?["error"]?["code"]?.string == "too_many_requests")
            #expect(
                answer.error
                    == "this key's requests would be 3 requests at once, at most 2 are allowed; try again when some have ended")
        }
        // All of it is given back.
        for _ in 0..<4 {
            #expect(
                try await server.post("/v1/completions", #"{"model":"mha","prompt":"a","max_tokens":1}"#, headers: bearer("a"))
                    .status
                    == 200)
        }
    }

    @Test func `what requests hold is bounded in all and for each tenant, and given back at their end`() throws {
        var limits = ServerLimits()
        (limits.connections, limits.heldBytes, limits.heldTokens) = (10, 1000, 600)
        let holdings = Holdings(limits, tenants: 3)
        func code(_ body: () throws(APIError) -> Void) -> String? {
            do throws(APIError) { try body() } catch { return error.code }
            return nil
        }
        var held = try (0..<5).map { _ in try Holding(holdings, tenant: "a") }
        #expect(code { () throws(APIError) in _ = try Holding(holdings, tenant: "a") } == "too_many_requests")
        let other = try Holding(holdings, tenant: "b")
        #expect(code { () throws(APIError) in try held[0].take(.init(bytes: 501)) } == "too_many_bytes")
        try held[0].take(.init(bytes: 500, tokens: 300))
        #expect(code { () throws(APIError) in try held[1].take(.init(tokens: 1)) } == "too_many_tokens")
        try other.take(.init(tokens: 300))
        let third = try Holding(holdings, tenant: "c")
        #expect(code { () throws(APIError) in try third.take(.init(tokens: 1)) } == "too_many_tokens")
        held[0].give(.init(bytes: 100))
        #expect(holdings.held(by: "a") == Holdings.Amounts(requests: 5, bytes: 400, tokens: 300))
        held[0].end()
        held[0].end()
        #expect(holdings.held(by: "a") == Holdings.Amounts(requests: 4))
        held = []
        #expect(holdings.held(by: "a") == Holdings.Amounts())
        // One tenant alone has everything.
        let alone = Holdings(limits, tenants: 1)
        try Holding(alone, tenant: "").take(.init(bytes: 1000, tokens: 600))
    }

    @Test func `a salt of any length takes the memory of a digest`() async throws {
        let server = try await server()
        let salts = try (0..<3).map { index in
            try RequestFields(Array(#"{"cache_salt":"\#(String(repeating: "\(index)", count: 1 << 20))"}"#.utf8)).cacheSalt()
        }
        #expect(Set(salts).count == 3 && salts.allSatisfy { $0.utf8.count == 64 })
        #expect(try RequestFields(Array("{}".utf8)).cacheSalt() == "")
        let prompt = String(repeating: "once upon a time ", count: 8)
        for expected in [false, true] {
            let answer = try await server.post(
                "/v1/completions",
                #"{"model":"mha","prompt":"\#(prompt)","max_tokens":1,"cache_salt":"\#(String(repeating: "s", count: 1 << 20))"}"#,
                headers: bearer("a"))
            let cached = answer.json?["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int ?? -1
            #expect(answer.status == 200 && (cached > 0) == expected)
        }
    }
}
