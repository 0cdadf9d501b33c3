import Checkpoints
import Foundation
import JSON
import Models
import Testing
import Text

/// `kvlab serve` over a tiny model, as a process of its own, ended when the object goes.
public final class ServedTool: Sendable {
    public let port: Int
    private let process: Process
    private let scratch = ScratchDirectory()

    /// Starts a server of the model `tiny`, of 256 positions and one byte a token, with `options`; returns when it takes connections.
    ///
    /// - Parameter descriptors: how many files and sockets the process may have open.
    public init(_ options: [String], descriptors: Int = 4096) throws {
        let tokenizer = ByteTokenizer()
        let config = TinyModel.config(vocabulary: tokenizer.vocabularySize, kvHeads: 4, headDim: 16, maxSequence: 256)
        let checkpoint = Checkpoint(
            config: config, parameters: TinyModel.parameters(config), tokenizer: tokenizer.serialized,
            tokenIDs: TokenIDs(eos: [256]))
        try checkpoint.save(to: scratch["tiny.h5"])
        let arguments = ["serve", "tiny.h5", "--port", "0", "--log", "none"] + options
        process = try Tool.process([], in: scratch.path)
        process.executableURL = URL(fileURLWithPath: "/bin/bash")
        process.arguments = ["-c", "ulimit -n \(descriptors) && exec \"$0\" \"$@\"", try #require(Tool.path)] + arguments
        for name in ["stdout", "stderr"] { try scratch.write([], to: name) }
        process.standardOutput = FileHandle(forWritingAtPath: scratch["stdout"])
        process.standardError = FileHandle(forWritingAtPath: scratch["stderr"])
        try process.run()
        var port: Int?
        for _ in 0..<1200 where port == nil && process.isRunning {
            Thread.sleep(forTimeInterval: 0.05)
            let text = String(decoding: scratch.bytes("stdout"), as: UTF8.self)
            port = text.firstMatch(of: /serving .*:(\d+)\n/).flatMap { Int($0.1) }
        }
        self.port = try #require(port, "\(String(decoding: scratch.bytes("stderr"), as: UTF8.self))")
    }

    deinit { if process.isRunning { kill(process.processIdentifier, SIGKILL) } }

    /// The model's file.
    public var modelPath: String { scratch["tiny.h5"] }

    public var isRunning: Bool { process.isRunning }

    /// What the process has written to standard error.
    public var errors: String { String(decoding: scratch.bytes("stderr"), as: UTF8.self) }

    /// MiB of memory that the process holds.
    public var residentMiB: Double {
        let status = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
        return status.firstMatch(of: /VmRSS:\s+(\d+) kB/).flatMap { Double($0.1) }.map { $0 / 1024 } ?? 0
    }

    /// Seconds of processor time that the process has taken.
    public var processorSeconds: Double {
        let text = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/stat", encoding: .utf8)) ?? ""
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// Stops the process by SIGTERM and gives its exit status.
    public func stop() -> Int32 {
        process.terminate()
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }

    /// A whole request's answer: its status, 0 where none came, and its body.
    public func send(_ method: String, _ path: String, key: String = "", body: String = "") -> (status: Int, json: JSONValue?) {
        guard let client = try? RawClient(port) else { return (0, nil) }
        client.sendAll(RawClient.request(method, path, key: key, body: body).utf8)
        let answer = String(decoding: client.readBlocking(seconds: 120).bytes, as: UTF8.self)
        let status = Int(answer.dropFirst(9).prefix(3)) ?? 0
        let content = answer.range(of: "\r\n\r\n").map { answer[$0.upperBound...] } ?? ""
        return (status, try? JSONValue(parsing: Array(content.utf8)))
    }

    /// Waits until no sequence is left, as `key` sees it; says whether that came within a minute.
    public func becomesIdle(key: String = "") -> Bool {
        for _ in 0..<600 {
            let pool = send("GET", "/v1/kvlab/pool", key: key).json
            if pool?["running"]?.int == 0, pool?["waiting"]?.int == 0 { return true }
            Thread.sleep(forTimeInterval: 0.1)
        }
        return false
    }
}
