import Foundation
import JSON
import Synchronization
import TestSupport
import Testing

@testable import Server

/// Clients that send what they should not, too little or too slowly, do not read, or leave.
@Suite struct ConnectionTests {
    /// The requests a server says have ended.
    private final class Log: Sendable {
        private let entries = Mutex<[RequestSummary]>([])
        func add(_ summary: RequestSummary) { entries.withLock { $0.append(summary) } }
        var all: [RequestSummary] { entries.withLock { $0 } }

        func reaches(_ count: Int) async throws -> Bool {
            for _ in 0..<6000 where all.count < count { try await Task.sleep(for: .milliseconds(10)) }
            return all.count >= count
        }
    }

    private let long = #"{"model":"mha","prompt":"abc","max_tokens":240,"ignore_eos":true,"n":8"#
    /// Takes all of eight places to run for so long that others are surely seen waiting meanwhile.
    private let endless = #"{"model":"mqa","prompt":"abc","max_tokens":4000,"ignore_eos":true,"n":8"#

    @Test func `what is no request is answered with the error object, and the connection closed`() async throws {
        let log = Log()
        let server = try await ServerFixture { options, _ in options.onRequest = { log.add($0) } }
        let cases = [
            ("GET /health HTTP/1.1\r\nHost: localhost\r\nX-Long: \(String(repeating: "x", count: 40_000))\r\n\r\n", 431),
            (
                "GET /health HTTP/1.1\r\nHost: localhost\r\n"
                    + (0..<200).map { "X-\($0): 1\r\n" }.joined() + "\r\n", 431
            ),
            ("NONSENSE\r\n\r\n", 400), ("GET /health HTTP/9.9\r\n\r\n", 400),
            (
                "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nabc\r\n",
                400
            ),
            ("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", 400),
        ]
        for (text, status) in cases {
            let client = try RawClient(server.port)
            client.send(text)
            let answer = try await client.read()
            let body = answer.text.components(separatedBy: "\r\n\r\n").last ?? ""
            let error = try? JSONValue(parsing: Array(body.utf8))["error"]?["message"]?.string
            #expect(
                answer.ended && answer.text.hasPrefix("HTTP/1.1 \(status) ") && error?.isEmpty == false,
                "\(text.prefix(60)): \(answer)")
        }
        #expect(try await log.reaches(cases.count))
        #expect(log.all.map(\.status) == cases.map(\.1) && log.all.allSatisfy { $0.status != 500 })
        #expect(try await server.send("GET", "/metrics").text.contains("http_responses_total{status=\"431\"} 2\n"))
    }

    @Test func `a body that does not come in time, or not to its end, is refused`() async throws {
        let server = try await ServerFixture { options, _ in options.limits.bodySeconds = 1 }
        let head =
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"model\""
        let slow = try RawClient(server.port)
        slow.send(head)
        let late = try await slow.read()
        #expect(late.ended && late.text.hasPrefix("HTTP/1.1 408 ") && late.text.contains("timeout_error"), "\(late)")
        let short = try RawClient(server.port)
        short.send(head)
        short.endSending()
        let cut = try await short.read()
        #expect(cut.ended && cut.text.hasPrefix("HTTP/1.1 400 ") && cut.text.contains("invalid_request_error"), "\(cut)")
    }

    @Test func `a client that ends only its half gets its answer, one that leaves frees its pages`() async throws {
        let log = Log()
        let server = try await ServerFixture(maxSequence: 4096) { options, engine in
            options.onRequest = { log.add($0) }
            engine.cacheBytes = 16 << 20
            engine.limits.running = 8
            engine.prefixSharing = false
        }
        for rest in ["}", #","stream":true}"#] {
            let client = try RawClient(server.port)
            client.post("/v1/completions", long + rest)
            client.endSending()
            let answer = try await client.read()
            #expect(
                answer.ended && answer.text.contains("HTTP/1.1 200 ") && answer.text.contains("length"),
                "\(answer.text.prefix(500))")
        }
        #expect(try await log.reaches(2))
        #expect(log.all.map(\.status) == [200, 200] && log.all.map(\.outputTokens) == [1920, 1920])
        // Those that wait in the queue leave as well as those that run, however little they ask for.
        var clients: [RawClient] = []
        for index in 0..<12 {
            clients.append(try RawClient(server.port))
            let short = #"{"model":"mqa","prompt":"abc","max_tokens":9,"ignore_eos":true}"#
            clients[index].post("/v1/completions", index < 6 ? endless + (index % 2 == 0 ? "}" : #","stream":true}"#) : short)
            // The first one's outputs take all places that there are to run.
            while index == 0, log.all.count == 2, await server.engine.statistics.running < 8 {
                try await Task.sleep(for: .milliseconds(1))
            }
        }
        while log.all.count == 2, await server.engine.statistics.waiting < 11 { try await Task.sleep(for: .milliseconds(1)) }
        clients = []
        #expect(try await server.becomesIdle())
        #expect(try await log.reaches(14))
        let left = log.all.dropFirst(2)
        #expect(left.count { $0.status == nil && $0.finishReason == "abort" } >= 8, "\(left.map(\.text))")
        let statistics = await server.engine.statistics
        #expect(statistics.freePages == statistics.pages && statistics.cancelled >= 8)
        #expect(try await server.send("GET", "/metrics").text.contains("request_aborts_total"))
    }

    @Test func `HTTP 1.0's clients leave by ending their input while an answer is made`() async throws {
        let log = Log()
        let server = try await ServerFixture(maxSequence: 4096) { options, engine in
            options.onRequest = { log.add($0) }
            engine.cacheBytes = 16 << 20
            engine.limits.running = 8
        }
        for rest in ["}", #","stream":true}"#] {
            // One that stays takes all places meanwhile, so that what leaves cannot have its answer first.
            let ended = log.all.count
            var first: RawClient? = try RawClient(server.port)
            var second: RawClient? = try RawClient(server.port)
            first?.post("/v1/completions", endless + "}")
            while log.all.count == ended, await server.engine.statistics.running < 8 {
                try await Task.sleep(for: .milliseconds(1))
            }
            second?.post("/v1/completions", long + rest, version: "1.0")
            while log.all.count == ended, await server.engine.statistics.waiting < 1 {
                try await Task.sleep(for: .milliseconds(1))
            }
            if rest == "}" { second?.endSending() } else { second = nil }
            #expect(try await log.reaches(ended + 1))
            #expect(log.all.last?.status == nil && log.all.last?.outputTokens == 0, "\(log.all)")
            first = nil
            #expect(try await log.reaches(ended + 2))
        }
        // What takes no time is answered: load balancers ask in this way.
        let client = try RawClient(server.port)
        client.send("GET /health HTTP/1.0\r\nHost: localhost\r\n\r\n")
        client.endSending()
        let answer = try await client.read()
        #expect(answer.ended && answer.text.hasPrefix("HTTP/1.0 200 "), "\(answer)")
    }

    @Test func `connections are kept for further requests unless a client says otherwise`() async throws {
        let server = try await ServerFixture()
        let short = #"{"model":"mha","prompt":"abc","max_tokens":2,"ignore_eos":true}"#
        let client = try RawClient(server.port)
        for body in [short, long + "}", short] {
            client.post("/v1/completions", body)
            let answer = try await client.read { $0.hasSuffix("}}}") }
            #expect(answer.text.hasPrefix("HTTP/1.1 200 ") && !answer.ended, "\(answer.text.prefix(300))")
        }
        for (version, header) in [("1.1", "Connection: Close\r\n"), ("1.0", ""), ("1.1", "connection: close\r\n")] {
            for body in [short, String(short.dropLast()) + #","stream":true}"#] {
                let client = try RawClient(server.port)
                client.send(
                    "POST /v1/completions HTTP/\(version)\r\nHost: LOCALHOST\r\nContent-Type: application/json\r\n\(header)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
                )
                let answer = try await client.read()
                #expect(answer.ended && answer.text.contains(" 200 ") && answer.text.contains("length"), "\(answer)")
                #expect(version == "1.1" || !answer.text.contains("chunked"))
            }
        }
    }

    @Test func `a client that asks whether to send its body is told to`() async throws {
        let server = try await ServerFixture()
        let client = try RawClient(server.port)
        let body = #"{"model":"mha","prompt":"abc","max_tokens":2}"#
        client.send(
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json; charset=utf-8\r\nExpect: 100-continue\r\nContent-Length: \(body.utf8.count)\r\n\r\n"
        )
        let first = try await client.read { $0.hasSuffix("\r\n\r\n") }
        #expect(first.text.hasPrefix("HTTP/1.1 100 Continue\r\n") && !first.ended)
        client.send(body)
        let answer = try await client.read { $0.contains("usage") }
        #expect(answer.text.hasPrefix("HTTP/1.1 200 OK\r\n"), "\(answer)")
    }

    @Test func `a stream that nobody reads is ended`() async throws {
        let log = Log()
        let server = try await ServerFixture { options, _ in
            options.onRequest = { log.add($0) }
            options.limits.writeSeconds = 1
        }
        let client = try RawClient(server.port, receiving: 4096)
        client.post(
            "/v1/completions",
            #"{"model":"mha","prompt":"abc","max_tokens":240,"ignore_eos":true,"n":32,"logprobs":5,"stream":true}"#)
        #expect(try await log.reaches(1))
        withExtendedLifetime(client) {}
        #expect(log.all.first?.status == nil && log.all.first?.finishReason == "abort")
        #expect(try #require(log.all.first).seconds > 0.9)
        #expect(try await server.becomesIdle())
    }

    @Test func `routes say which methods they take`() async throws {
        let server = try await ServerFixture()
        for (method, path, allowed) in [
            ("GET", "/v1/completions", "POST"), ("POST", "/v1/models", "GET"), ("DELETE", "/health", "GET, HEAD"),
            ("PUT", "/v1/models/mha", "GET"),
        ] {
            let answer = try await server.send(method, path)
            #expect(answer.status == 405 && answer.headers["allow"] == allowed && answer.error != nil, "\(method) \(path)")
        }
        for path in ["/", "/health"] {
            let answer = try await server.send("HEAD", path)
            #expect(answer.status == 200 && answer.body.isEmpty, "\(path)")
        }
        #expect(try await server.send("GET", "/v1/models/mqa").json?["id"]?.string == "mqa")
        #expect(try await server.send("GET", "/v1/models/no/such").error?.contains("'no/such' does not exist") == true)
    }

    @Test func `a request over the time limit is not to be tried again`() async throws {
        let server = try await ServerFixture { options, engine in
            options.limits.seconds = 1
            engine.limits.tokensPerStep = 1
        }
        let answer = try await server.post(
            "/v1/completions", #"{"model":"mha","prompt":"abc","max_tokens":250,"ignore_eos":true,"n":128}"#)
        #expect(
            answer.status == 504 && answer.headers["x-should-retry"] == "false" && answer.error != nil,
            "\(answer.text.prefix(200))")
        #expect(try await server.becomesIdle())
    }

    @Test func `the log has a line of JSON for each request`() async throws {
        let log = Log()
        let server = try await ServerFixture { options, _ in options.onRequest = { log.add($0) } }
        let body = #"{"model":"mha","prompt":"abcdefgh","max_tokens":4,"ignore_eos":true,"n":2"#
        _ = try await server.post("/v1/completions", body + "}")
        _ = try await server.post("/v1/completions", body + #","stream":true}"#)
        _ = try await server.post("/v1/completions", "{")
        #expect(try await log.reaches(3))
        for summary in log.all.prefix(2) {
            let line = try JSONValue(parsing: Array(summary.json.utf8))
            #expect(!summary.json.contains("\n") && line["id"]?.string?.hasPrefix("cmpl-") == true)
            #expect(line["model"]?.string == "mha" && line["status"]?.int == 200 && line["finish_reason"]?.string == "length")
            #expect(line["prompt_tokens"]?.int == 8 && line["output_tokens"]?.int == 8 && line["cached_tokens"]?.int != nil)
            let (first, whole) = (line["first_token_ms"]?.double ?? -1, line["duration_ms"]?.double ?? -1)
            #expect(first > 0 && whole >= first)
        }
        #expect(log.all[2].status == 400 && log.all[2].path == "/v1/completions" && log.all[2].text.contains(" 400 "))
    }
}
