import Checkpoints
import Foundation
import Models
import TestSupport
import Testing
import Text

/// A `kvlab serve` of its own process over a tiny model, ended when the object goes.
final class ServedProcess: Sendable {
    let port: Int
    private let scratch = ScratchDirectory()
    private let process: Process

    /// Starts a server with `options` behind its usual ones, which may have so many descriptors open, and waits until it listens.
    init(_ options: [String] = [], descriptors: Int = 4096) async throws {
        let tokenizer = ByteTokenizer()
        let config = TinyModel.config(vocabulary: tokenizer.vocabularySize, kvHeads: 1, headDim: 16, maxSequence: 256)
        var checkpoint = Checkpoint(config: config, parameters: TinyModel.parameters(config, seed: 1))
        checkpoint.tokenizer = tokenizer.serialized
        try checkpoint.save(to: scratch["tiny.h5"])
        let arguments = ["serve", "tiny.h5", "--port", "0", "--kv-memory", "4MiB", "--page", "1KiB"] + options
        process = try Tool.process([], in: scratch.path)
        process.arguments = ["-c", "ulimit -n \(descriptors) && exec \"$0\" \"$@\"", try #require(Tool.path)] + arguments
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        for name in ["output", "errors"] { try scratch.write([], to: name) }
        process.standardOutput = FileHandle(forWritingAtPath: scratch["output"])
        process.standardError = FileHandle(forWritingAtPath: scratch["errors"])
        try process.run()
        var port: Int?
        for _ in 0..<6000 where port == nil && process.isRunning {
            try await Task.sleep(for: .milliseconds(10))
            let text = String(decoding: scratch.bytes("output"), as: UTF8.self)
            guard text.hasSuffix("\n"), let colon = text.lastIndex(of: ":") else { continue }
            port = Int(text[text.index(after: colon)...].dropLast())
        }
        self.port = try #require(port, "\(String(decoding: scratch.bytes("errors"), as: UTF8.self))")
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    /// Whether it runs.
    var isRunning: Bool { process.isRunning }

    /// What it has written to standard error.
    var errors: String { String(decoding: scratch.bytes("errors"), as: UTF8.self) }

    /// The kernel's figure for its memory, bytes.
    var residentBytes: Int {
        let status = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
        let line = status.split(separator: "\n").first { $0.hasPrefix("VmRSS:") }
        return (line?.split(whereSeparator: { !$0.isNumber }).first.flatMap { Int($0) } ?? 0) << 10
    }

    /// The processor time it has taken, seconds.
    var processorSeconds: Double {
        let text = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)) ?? ""
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The answer to a GET, as text.
    func get(_ path: String, headers: String = "") throws -> String {
        let client = try RawClient(port)
        client.send("GET \(path) HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\(headers)\r\n")
        return String(decoding: client.readBlocking(seconds: 60).bytes, as: UTF8.self)
    }

    /// Waits until no page of the pool is held, at most some seconds; says whether that came.
    func becomesEmpty(headers: String = "") async throws -> Bool {
        for _ in 0..<600 {
            let pool = try get("/v1/kvlab/pool", headers: headers)
            if pool.contains("\"running\":0,\"waiting\":0") { return true }
            try await Task.sleep(for: .milliseconds(50))
        }
        return false
    }
}
