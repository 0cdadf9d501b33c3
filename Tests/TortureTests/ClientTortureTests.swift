import Foundation
import JSON
import Random
import TestSupport
import Testing
import Threads

/// Promises 4 and 5: no client can end the server, keep a page or grow its memory, and keys share neither cache nor sight.
@Suite(.serialized) struct ClientTortureTests {
    /// Seconds of load: KVLAB_TORTURE_LOAD_SECONDS, by default a share of ten minutes.
    private static let seconds =
        ProcessInfo.processInfo.environment["KVLAB_TORTURE_LOAD_SECONDS"].flatMap { Double($0) }
        ?? Double(Torture.count(20, limit: 600))
    /// Requests a second.
    private static let rate = 15.0

    private static let keys = (0..<6).map { "key-\($0)" }
    private static let admin = "the-admin"

    private func serve(_ options: [String] = []) throws -> ServedTool {
        try ServedTool(Self.keys.flatMap { ["--api-key", $0] } + ["--admin-key", Self.admin, "--kv-memory", "8MiB"] + options)
    }

    /// What one client sends and when it leaves, drawn at random.
    private struct Visit {
        var request: String
        /// Bytes of the request that it sends, and of the answer that it reads, before it leaves; nil for all.
        var sends: Int?
        var reads: Int?

        init(_ random: inout SeededGenerator) {
            func draw(_ limit: Int) -> Int { Int(random.uniform() * Double(limit)) }
            func text(_ count: Int) -> String { String(decoding: (0..<count).map { _ in UInt8(97 + draw(26)) }, as: UTF8.self) }
            // A wrong key now and then, never the same one.
            let key = draw(40) == 0 ? "wrong-\(text(12))" : ClientTortureTests.keys[draw(ClientTortureTests.keys.count)]
            // Most salts are new ones; some are as large as a body may be.
            let salt =
                draw(150) == 0 ? String(repeating: text(7), count: 1_000_000) : draw(2) == 0 ? text(1 + draw(3000)) : "common"
            var fields = [
                #""model":"tiny""#, #""max_tokens":\#(draw(50))"#, #""n":\#(1 << draw(4))"#, #""stream":\#(draw(2) == 0)"#,
                #""cache_salt":"\#(salt)""#, #""temperature":\#(draw(3))"#, #""ignore_eos":true"#,
            ]
            var path = "/v1/completions"
            switch draw(20) {
            case 0: fields[0] = #""model":"\#(text(10))""#
            case 1: fields[1] = #""max_tokens":-1"#
            case 2: fields.append(#""best_of":\#(text(2))"#)
            case 3:
                path = "/v1/\(text(20))"
            case 4: path = "/tokenize"
            default: break
            }
            if draw(8) == 0 {
                path = "/v1/chat/completions"
                fields.append(#""messages":[{"role":"user","content":"\#(text(1 + draw(150)))"}]"#)
            } else {
                fields.append(#""prompt":"\#(text(1 + draw(150)))""#)
                if draw(5) == 0 { fields.append(#""logprobs":\#(draw(6)),"echo":\#(draw(2) == 0)"#) }
            }
            let get = draw(15) == 0
            if get { path = ["/v1/kvlab/pool", "/v1/models", "/tokenizer_info", "/health", "/", "/metrics"][draw(6)] }
            request = RawClient.request(
                get ? "GET" : "POST", path, key: key, body: get ? "" : "{\(fields.joined(separator: ","))}")
            switch draw(5) {
            case 0: sends = draw(request.utf8.count)
            case 1: reads = draw(4000)
            default: break
            }
        }
    }

    /// Counts of what was sent and answered.
    private struct Counts {
        var visits = 0
        var left = 0
        var statuses: [Int: Int] = [:]
    }

    /// Sends visits at ``rate`` from `workers` threads until `end`.
    private func load(_ port: Int, until end: Date, workers: Int = 6) -> (counts: Lock<Counts>, done: DispatchGroup) {
        let (counts, done) = (Lock(Counts()), DispatchGroup())
        for worker in 0..<workers {
            done.enter()
            Thread.detachNewThread {
                defer { done.leave() }
                var random = SeededGenerator(seed: UInt64(worker))
                while Date() < end {
                    let visit = Visit(&random)
                    Thread.sleep(forTimeInterval: -log(1 - random.uniform()) * Double(workers) / Self.rate)
                    guard let client = try? RawClient(port) else { continue }
                    let leaves = visit.sends != nil || visit.reads != nil
                    let bytes = Array(visit.request.utf8)
                    client.sendAll(bytes.prefix(visit.sends ?? bytes.count))
                    let answer = visit.sends == nil ? Self.read(client, limit: visit.reads ?? .max) : ""
                    counts.withLock { counts in
                        counts.visits += 1
                        if leaves {
                            counts.left += 1
                        } else {
                            counts.statuses[Int(answer.dropFirst(9).prefix(3)) ?? 0, default: 0] += 1
                        }
                    }
                }
            }
        }
        return (counts, done)
    }

    /// An answer up to its end, or to `limit` bytes of it.
    private static func read(_ client: RawClient, limit: Int = .max) -> String {
        String(decoding: client.readBlocking(seconds: 120) { $0.count >= limit }.bytes, as: UTF8.self)
    }

    @Test func `under load with errors, new salts and clients that leave, memory stays level and no page is kept`() throws {
        let server = try serve()
        // Pages take memory when they are first written: outputs that fill the pool write them all.
        let filling = #"{"model":"tiny","max_tokens":240,"ignore_eos":true,"n":64,"prompt":"abc"}"#
        #expect(server.send("POST", "/v1/completions", key: Self.keys[0], body: filling).status == 200)
        let start = Date()
        let (counts, done) = load(server.port, until: start + Self.seconds)
        // The pool's pages and the threads' arenas are taken while it warms up.
        let warm = min(600, Self.seconds * 0.4)
        let window = (Self.seconds - warm) / 5
        var samples: [(time: Double, mebibytes: Double)] = []
        while server.isRunning, Date() < start + Self.seconds {
            samples.append((Date().timeIntervalSince(start), server.residentMiB))
            Thread.sleep(forTimeInterval: min(5, Self.seconds / 200))
        }
        done.wait()
        try #require(server.isRunning)
        func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }
        let before = median(samples.filter { (warm..<warm + window).contains($0.time) }.map(\.mebibytes))
        let after = median(samples.filter { $0.time >= Self.seconds - window }.map(\.mebibytes))
        let total = counts.withLock { $0 }
        let answers = total.statuses.sorted { $0.key < $1.key }.map { "\($0.value) of \($0.key)" }.joined(separator: ", ")
        let most = samples.map(\.mebibytes).max() ?? 0
        print(
            "\(Int(Self.seconds)) s of load: \(total.visits) requests, \(total.left) left early, answers \(answers);",
            "resident \(before) MiB after \(Int(warm)) s, \(after) MiB at the end, \(most) MiB at most")
        // A load of seconds is still warming up: there a salt that is kept, of megabytes, is what shows.
        #expect(after <= before * 1.02 + (Self.seconds < 600 ? 6 : 0), "\(before) MiB, then \(after) MiB")
        #expect(total.visits > Int(Self.seconds * Self.rate / 4))
        #expect(total.statuses.keys.allSatisfy { (200..<500).contains($0) }, "\(total.statuses)")
        #expect(server.becomesIdle(key: Self.admin))
        let pool = try #require(server.send("GET", "/v1/kvlab/pool", key: Self.admin).json)
        #expect(pool["sequences"]?.array?.isEmpty == true)
        for model in pool["models"]?.array ?? [] { #expect(model["used_pages"]?.int == 0 && model["shared_pages"]?.int == 0) }
        #expect(server.stop() == 0)
    }

    @Test func `a key finds no prefix, sequence or metric of another, whatever its salt`() throws {
        let server = try serve()
        var random = SeededGenerator(seed: 3)
        func cached(_ key: String, _ prompt: String, _ salt: String?) -> Int {
            let rest = salt.map { #","cache_salt":"\#($0)""# } ?? ""
            let answer = server.send(
                "POST", "/v1/completions", key: key, body: #"{"model":"tiny","max_tokens":1,"prompt":"\#(prompt)"\#(rest)}"#)
            return answer.json?["usage"]?["prompt_tokens_details"]?["cached_tokens"]?.int ?? -1
        }
        for round in 0..<Torture.count(5, limit: 100) {
            let prompt = String(decoding: (0..<100).map { _ in UInt8(97 + Int(random.uniform() * 26)) }, as: UTF8.self)
            for key in Self.keys {
                for salt in [nil, "s", Self.keys[(round + 1) % 6]] {
                    #expect(cached(key, prompt, salt) == 0, "\(key), salt \(salt ?? "none")")
                    #expect(cached(key, prompt, salt) > 0, "\(key), salt \(salt ?? "none")")
                }
            }
        }
        let end = Date() + min(20, Self.seconds / 4)
        let (_, done) = load(server.port, until: end)
        // Requests have numbers of their own: no two keys see the same one.
        var owners: [Int: String] = [:]
        while Date() < end {
            for key in Self.keys {
                let pool = server.send("GET", "/v1/kvlab/pool", key: key).json
                for sequence in pool?["sequences"]?.array ?? [] {
                    let request = sequence["request"]?.int ?? -1
                    #expect(
                        owners[request, default: key] == key, "request \(request) of \(owners[request] ?? "") is shown to \(key)")
                    owners[request] = key
                }
            }
            #expect(server.send("GET", "/metrics", key: Self.keys[0]).status == 403)
        }
        done.wait()
        #expect(Set(owners.values).count > 1)
        // Only the first key has sequences now, which it alone sees.
        let body = #"{"model":"tiny","max_tokens":240,"ignore_eos":true,"n":16,"prompt":"abc","stream":true}"#
        let client = try RawClient(server.port)
        client.sendAll(RawClient.request("POST", "/v1/completions", key: Self.keys[0], body: body).utf8)
        #expect(!Self.read(client, limit: 400).isEmpty)
        func sequences(_ key: String) -> Int {
            server.send("GET", "/v1/kvlab/pool", key: key).json?["sequences"]?.array?.count ?? -1
        }
        for key in Self.keys.dropFirst() { #expect(sequences(key) == 0, "\(key)") }
        _ = Self.read(client)
        #expect(server.stop() == 0)
    }

    @Test func `a key that asks for 128 outputs at a time leaves another key its part of the engine`() throws {
        let server = try serve()
        func long(_ key: String) throws -> RawClient {
            let client = try RawClient(server.port)
            let body = #"{"model":"tiny","max_tokens":240,"ignore_eos":true,"n":128,"prompt":"abc","stream":true}"#
            client.sendAll(RawClient.request("POST", "/v1/completions", key: key, body: body).utf8)
            return client
        }
        let short = #"{"model":"tiny","max_tokens":10,"ignore_eos":true,"prompt":"What now?"}"#
        func time(_ key: String) -> Double {
            let start = Date()
            #expect(server.send("POST", "/v1/completions", key: key, body: short).status == 200)
            return Date().timeIntervalSince(start)
        }
        let loads = try (0..<3).map { _ in try long(Self.keys[0]) }
        // The outputs fill the pool, which has room for a sixteenth of them.
        _ = Self.read(loads[0], limit: 2_000_000)
        let waits = (0..<5).map { _ in time(Self.keys[1]) }.sorted()
        let finishing = Date()
        for load in loads { _ = Self.read(load) }
        let rest = Date().timeIntervalSince(finishing)
        print("a short request beside 384 long outputs of another key took \(waits) s; they went on for \(rest) s")
        // The load outlasts them all, as each took its part of some steps and not of the load's time.
        #expect(waits[2] < rest, "\(waits) s")
    }
}
