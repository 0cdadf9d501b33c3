import Foundation
import TestSupport
import Testing

@testable import Server

/// How a server begins and ends.
@Suite struct ServerStartTests {
    static let tool: String = {
        let tests = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        return URL(fileURLWithPath: tests).deletingLastPathComponent().path + "/kvlab"
    }()

    @Test func `a port that is taken and a host that is none end the start with a sentence`() async throws {
        let first = try await ServerFixture()
        let taken = await #expect(throws: ServerError.self) {
            try await ServerFixture { options, _ in options.port = first.port }
        }
        #expect(taken?.description == "cannot listen on 127.0.0.1:\(first.port): address already in use")
        let none = await #expect(throws: ServerError.self) {
            try await ServerFixture { options, _ in options.host = "no.such.host.invalid" }
        }
        #expect(none?.description == "cannot listen on no.such.host.invalid:0: the host has no address")
    }

    @Test func `an empty key is refused, on any address`() async throws {
        for rest in [[], ["--host", "0.0.0.0"], ["--api-key", "k"]] {
            let result = try await Python.concurrently(Self.tool, ["serve", "x.h5", "--api-key", ""] + rest)
            #expect(result.status == 64 && result.errors.contains("--api-key is empty"), "\(result.errors)")
        }
    }

    @Test(.enabled(if: SharedData.isPresent, "\(SharedData.skipped)"), arguments: [1, 600])
    func `a stuck client keeps the server from ending no longer than it may`(drain: Int) async throws {
        let scratch = ScratchDirectory()
        let folder = SharedData.path("models/stories260K")
        let made = try await Python.concurrently(
            Self.tool, ["import", folder, "--tokenizer", folder + "/tok512.bin", "--out", scratch["m.h5"]])
        try #require(made.status == 0, "\(made.errors)")
        for name in ["output", "errors"] { try scratch.write([], to: name) }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.tool)
        process.arguments = ["serve", scratch["m.h5"], "--port", "0", "--kv-memory", "8MiB", "--drain-timeout", "\(drain)"]
        process.standardOutput = FileHandle(forWritingAtPath: scratch["output"])
        process.standardError = FileHandle(forWritingAtPath: scratch["errors"])
        try process.run()
        defer { if process.isRunning { process.terminate() } }
        var port: Int?
        for _ in 0..<6000 where port == nil {
            try await Task.sleep(for: .milliseconds(10))
            let line = String(decoding: scratch.bytes("output"), as: UTF8.self)
            if line.hasSuffix("\n") {
                port = Int(line.dropLast().reversed().prefix { $0 != ":" }.reversed().map { String($0) }.joined())
            }
        }
        let clients = try (0..<2).map { _ in try RawClient(#require(port), receiving: 4096) }
        clients[0].send(
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
        clients[1].post(
            "/v1/completions",
            #"{"model":"m","prompt":"Once","max_tokens":400,"ignore_eos":true,"n":32,"logprobs":9,"stream":true}"#)
        try await Task.sleep(for: .milliseconds(500))
        let told = ContinuousClock.now
        kill(process.processIdentifier, SIGTERM)
        try await Task.sleep(for: .milliseconds(300))
        // On a busy machine the wait may outlast the server.
        #expect(process.isRunning || .now - told >= .seconds(drain))
        // The second signal doesn't wait.
        if drain > 1 { kill(process.processIdentifier, SIGTERM) }
        for _ in 0..<6000 where process.isRunning { try await Task.sleep(for: .milliseconds(10)) }
        #expect(!process.isRunning)
        withExtendedLifetime(clients) {}
        if !process.isRunning { #expect(process.terminationStatus == 0 && process.terminationReason == .exit) }
        let lines = String(decoding: scratch.bytes("errors"), as: UTF8.self).split(separator: "\n")
        #expect(lines.count == 2 && lines.allSatisfy { $0.hasPrefix("{") && $0.contains("\"abort\"") }, "\(lines)")
    }
}
