import Foundation
import Synchronization
import TestSupport
import Testing

@testable import Server

/// Answers that come early, clients that stay silent, and more connections than there are places.
@Suite struct ConnectionLimitTests {
    private let endless = #"{"model":"mqa","prompt":"abc","max_tokens":4000,"ignore_eos":true}"#

    @Test func `a client that breaks off a body whose answer it has leaves the server whole`() async throws {
        let server = try await ServerFixture { options, _ in options.apiKeys = ["k"] }
        let head = "Host: localhost\r\nContent-Type: application/json\r\nContent-Length: "
        for (request, status) in [
            ("GET /health HTTP/1.1\r\n\(head)9\r\n\r\n", "200"),
            ("GET /health HTTP/1.1\r\n\(head)9\r\n\r\n123", "200"),
            ("POST /v1/completions HTTP/1.1\r\n\(head)6000000\r\n\r\n\(String(repeating: "x", count: 100_000))", "401"),
            ("POST /v1/completions HTTP/1.1\r\n\(head)90000000\r\n\r\nx", "401"),
        ] {
            for leave in ["close", "half", "garbage"] {
                var client: RawClient? = try RawClient(server.port)
                client?.sendAll(request.utf8)
                let answer = try await client?.read { $0.hasPrefix("HTTP/1.1 ") }
                #expect(
                    answer?.text.hasPrefix("HTTP/1.1 \(status) ") == true, "\(request.prefix(60)): \(String(describing: answer))")
                switch leave {
                case "close": client = nil
                case "half":
                    client?.endSending()
                    #expect(try await client?.read(seconds: 20).ended == true)
                default: client?.sendAll(Array("\r\n\r\nNONSENSE\r\n\r\n".utf8))
                }
            }
        }
        #expect(try await server.send("GET", "/health").status == 200)
    }

    @Test func `the rest of a body behind its answer is read, and the next request answered`() async throws {
        let server = try await ServerFixture()
        let client = try RawClient(server.port)
        for _ in 0..<3 {
            client.send("GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
            let answer = try await client.read { $0.hasSuffix("}") }
            #expect(answer.text.hasPrefix("HTTP/1.1 200 ") && !answer.ended, "\(answer)")
            client.send("123456789")
        }
    }

    @Test func `a head that does not come in time ends its connection`() async throws {
        let server = try await ServerFixture { options, _ in options.limits.headSeconds = 1 }
        let silent = try RawClient(server.port)
        let quiet = try await silent.read(seconds: 60)
        #expect(quiet.ended && quiet.text.isEmpty, "\(quiet)")
        let slow = try RawClient(server.port)
        slow.send("GET /health HT")
        let late = try await slow.read(seconds: 60)
        #expect(late.ended && late.text.hasPrefix("HTTP/1.1 408 ") && late.text.contains("within 1 s"), "\(late)")
        // Between two requests a client may be silent; a head that it has begun is to come.
        let kept = try RawClient(server.port)
        kept.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        _ = try await kept.read { $0.hasSuffix("}") }
        let idle = try await kept.read(seconds: 2)
        #expect(!idle.ended)
        kept.send("GET ")
        let again = try await kept.read(seconds: 60)
        #expect(again.ended && again.text.hasPrefix("HTTP/1.1 408 "), "\(again)")
    }

    @Test func `idle connections make room for new ones, those that are idle longest first`() async throws {
        let server = try await ServerFixture { options, _ in options.limits.connections = 4 }
        var clients: [RawClient] = []
        for _ in 0..<12 {
            clients.append(try RawClient(server.port))
            clients.last?.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let answer = try await clients[clients.count - 1].read { $0.hasSuffix("}") }
            #expect(answer.text.hasPrefix("HTTP/1.1 200 "), "\(answer)")
        }
        for client in clients.prefix(8) { #expect(try await client.read(seconds: 30).ended) }
        for client in clients.suffix(4) {
            client.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(try await client.read { $0.hasSuffix("}") }.text.hasPrefix("HTTP/1.1 200 "))
        }
    }

    @Test func `health is answered while every connection is at work, and others are told to come again`() async throws {
        let server = try await ServerFixture(maxSequence: 4096) { options, engine in
            options.limits.connections = 2
            engine.cacheBytes = 16 << 20
        }
        var busy: [RawClient]? = []
        for _ in 0..<2 {
            let client = try RawClient(server.port)
            client.post("/v1/completions", endless)
            busy?.append(client)
        }
        while await server.engine.statistics.running < 2 { try await Task.sleep(for: .milliseconds(1)) }
        for _ in 0..<3 {
            let client = try RawClient(server.port)
            client.send("GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            #expect(try await client.read { $0.hasSuffix("}") }.text.hasPrefix("HTTP/1.1 200 "))
            client.send("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n")
            let refused = try await client.read(seconds: 60)
            #expect(
                refused.ended && refused.text.hasPrefix("HTTP/1.1 503 ") && refused.text.contains("too_many_connections")
                    && refused.text.contains("retry-after: 1\r\n"), "\(refused)")
        }
        busy = nil
        #expect(try await server.becomesIdle())
        #expect(try await server.send("GET", "/v1/models").status == 200)
    }

    @Test func `an upload that its client breaks off is logged as aborted, not as a bad request`() async throws {
        let log = Mutex<[RequestSummary]>([])
        let server = try await ServerFixture { options, _ in
            options.onRequest = { summary in log.withLock { $0.append(summary) } }
        }
        var client: RawClient? = try RawClient(server.port)
        client?.send(
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        try await Task.sleep(for: .milliseconds(50))
        client = nil
        for _ in 0..<3000 where log.withLock({ $0.isEmpty }) { try await Task.sleep(for: .milliseconds(10)) }
        let summary = try #require(log.withLock { $0.first })
        #expect(summary.status == nil && summary.finishReason == "abort" && summary.path == "/v1/completions")
    }
}
