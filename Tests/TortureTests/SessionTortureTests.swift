import Foundation
import Random
import TestSupport
import Testing

/// Promise 4 at the level of bytes: connections that are cut, answered early, pipelined, reset and never read.
@Suite(.serialized) struct SessionTortureTests {
    /// A session: bytes in pieces, and how the client leaves.
    private struct Session {
        enum Leave: CaseIterable { case reset, close, halfThenRead, readFirstThenClose, readFirstThenReset }
        var pieces: [ArraySlice<UInt8>]
        var leave: Leave
    }

    private static func request(_ draw: (Int) -> Int) -> [UInt8] {
        func post(_ path: String, _ body: String, _ headers: String = "", length: Int? = nil) -> String {
            "POST \(path) HTTP/1.\(draw(8) == 0 ? 0 : 1)\r\nHost: localhost\r\nContent-Type: application/json\r\n\(headers)"
                + "Content-Length: \(length ?? body.utf8.count)\r\n\r\n\(body)"
        }
        let key = draw(3) == 0 ? "Authorization: Bearer wrong\r\n" : "Authorization: Bearer key\r\n"
        let close = draw(4) == 0 ? "Connection: close\r\n" : ""
        let body = #"{"model":"tiny","prompt":"\#(String(repeating: "ab", count: draw(40)))","max_tokens":\#(draw(6))"#
        switch draw(15) {
        case 0: return Array("GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n".utf8)
        case 1: return Array("GET /health HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n123456789".utf8)
        case 2: return Array("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\(key)\(close)\r\n".utf8)
        case 3: return Array(post("/v1/completions", body + "}", key + close).utf8)
        case 4: return Array(post("/v1/completions", body + #","stream":true,"n":\#(1 + draw(4))}"#, key + close).utf8)
        case 5: return Array(post("/v1/completions", body, "Expect: 100-continue\r\n" + key).utf8)
        case 6: return Array(post("/v1/completions", String(repeating: "x", count: draw(200_000)), key, length: 6_000_000).utf8)
        case 7:
            return Array(
                ("POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\(key)Transfer-Encoding: "
                    + "chunked\r\n\r\n5\r\n{\"pro\r\n\(draw(2) == 0 ? "9\r\nmpt\":\"a\"}" : "zz\r\n")\r\n0\r\n\r\n").utf8)
        case 8: return Array("OPTIONS /v1/completions HTTP/1.1\r\nHost: localhost\r\nOrigin: http://evil.example\r\n\r\n".utf8)
        case 9: return (0..<draw(300)).map { _ in UInt8(draw(256)) }
        case 10:
            return Array("GET / HTTP/1.1\r\nHost: localhost\r\nX: \(String(repeating: "y", count: draw(40_000)))\r\n\r\n".utf8)
        case 11: return Array("HEAD /health HTTP/1.1\r\nHost: localhost\r\n\(close)\r\n".utf8)
        case 12: return Array("GET /v1/kvlab/pool?cells=\(draw(3)) HTTP/1.1\r\nHost: localhost\r\n\(key)\r\n".utf8)
        case 13: return Array(post("/v1/chat/completions", body + "}", key, length: body.utf8.count + 200).utf8)
        default: return Array("GET /nothing HTTP/\(draw(3)).\(draw(3))\r\nHost: evil.example\r\n\r\n".utf8)
        }
    }

    private static func session(_ number: Int) -> Session {
        var random = SeededGenerator(seed: 23, stream: UInt64(number))
        func draw(_ limit: Int) -> Int { limit < 1 ? 0 : Int(random.uniform() * Double(limit)) }
        var bytes: [UInt8] = []
        for _ in 0...draw(4) { bytes += request(draw) }
        // Half of them are cut anywhere.
        if draw(2) == 0 { bytes.removeLast(draw(bytes.count + 1)) }
        var pieces: [ArraySlice<UInt8>] = []
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = draw(3) == 0 ? rest.count : 1 + draw(min(rest.count, 400))
            pieces.append(rest.prefix(count))
            rest = rest.dropFirst(count)
            if pieces.count == 12 {
                pieces.append(rest)
                break
            }
        }
        return Session(pieces: pieces, leave: Session.Leave.allCases[draw(Session.Leave.allCases.count)])
    }

    /// Plays a session; gives what was wrong with what came back.
    private static func play(_ session: Session, port: Int) -> String? {
        guard let client = try? RawClient(port) else { return "cannot connect" }
        for piece in session.pieces { client.sendAll(piece) }
        let answered: [UInt8]
        switch session.leave {
        case .reset:
            client.reset()
            return nil
        case .close: return nil
        case .halfThenRead:
            client.endSending()
            let (bytes, ended) = client.readBlocking(seconds: 60)
            guard ended else { return "no end within a minute of \(bytes.count) bytes" }
            answered = bytes
        case .readFirstThenClose, .readFirstThenReset:
            answered = client.readBlocking(seconds: 0.05) { !$0.isEmpty }.bytes
            if session.leave == .readFirstThenReset { client.reset() }
        }
        let text = String(decoding: answered, as: UTF8.self)
        if text.contains("HTTP/1.1 5") || text.contains("HTTP/1.0 5") { return String(text.prefix(300)) }
        return text.isEmpty || text.hasPrefix("HTTP/1.") ? nil : "no answer of HTTP: \(text.prefix(100))"
    }

    @Test func `sessions cut, answered early, pipelined and reset leave the server whole`() async throws {
        let server = try ServedTool(["--api-key", "key", "--kv-memory", "4MiB", "--page", "1KiB"])
        let count = Torture.count(2000, limit: 100_000)
        let port = server.port
        let complaints = await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                let found = Complaints()
                DispatchQueue.concurrentPerform(iterations: 8) { lane in
                    for number in stride(from: lane, to: count, by: 8) where found.count < 5 {
                        if let complaint = Self.play(Self.session(number), port: port) {
                            found.add("session \(number): \(complaint)")
                        }
                    }
                }
                continuation.resume(returning: found.all)
            }
        }
        #expect(complaints.isEmpty, "\(complaints)")
        #expect(server.isRunning, "\(server.errors.suffix(2000))")
        #expect(server.becomesIdle(key: "key"))
        #expect(server.send("GET", "/health").status == 200)
    }

    @Test func `more clients than descriptors keep no processor busy and no health check waiting`() async throws {
        let server = try ServedTool([], descriptors: 160)
        #expect(server.errors.contains("ulimit -n") && server.errors.contains("32 of 1024"), "\(server.errors)")
        let clients = try (0..<400).map { _ in try RawClient(server.port) }
        let before = server.processorSeconds
        for _ in 0..<4 {
            #expect(server.send("GET", "/health").status == 200)
            try await Task.sleep(for: .milliseconds(500))
        }
        #expect(server.processorSeconds - before < 1)
        withExtendedLifetime(clients) {}
    }

    private final class Complaints: @unchecked Sendable {
        // Sendable: all access is under the lock.
        private let lock = NSLock()
        private var found: [String] = []
        func add(_ text: String) { lock.withLock { found.append(text) } }
        var count: Int { lock.withLock { found.count } }
        var all: [String] { lock.withLock { found } }
    }
}
