import Checkpoints
import Foundation
import JSON
import TestSupport
import Testing
import Text

/// `kvlab serve` over a tiny model, as a process of its own.
final class ServedTool: Sendable {
    let port: Int
    private let process: Process
    private let scratch = ScratchDirectory()

    /// Starts a server of the model `tiny`, of 256 positions and one byte a token, with `options`; returns when it takes connections.
    init(_ options: [String]) throws {
        let tokenizer = ByteTokenizer()
        let config = TinyModel.config(vocabulary: tokenizer.vocabularySize, kvHeads: 4, headDim: 16, maxSequence: 256)
        let checkpoint = Checkpoint(
            config: config, parameters: TinyModel.parameters(config), tokenizer: tokenizer.serialized,
            tokenIDs: TokenIDs(eos: [256]))
        try checkpoint.save(to: scratch["tiny.h5"])
        process = try Tool.process(["serve", "tiny.h5", "--port", "0", "--log", "none"] + options, in: scratch.path)
        for name in ["stdout", "stderr"] { try scratch.write([], to: name) }
        process.standardOutput = FileHandle(forWritingAtPath: scratch["stdout"])
        process.standardError = FileHandle(forWritingAtPath: scratch["stderr"])
        try process.run()
        var port: Int?
        for _ in 0..<600 where port == nil && process.isRunning {
            Thread.sleep(forTimeInterval: 0.05)
            let text = String(decoding: scratch.bytes("stdout"), as: UTF8.self)
            port = text.firstMatch(of: /serving .*:(\d+)\n/).flatMap { Int($0.1) }
        }
        self.port = try #require(port, "\(String(decoding: scratch.bytes("stderr"), as: UTF8.self))")
    }

    deinit { process.terminate() }

    var isRunning: Bool { process.isRunning }

    /// MiB of memory that the process holds.
    var residentMiB: Double {
        let status = (try? String(contentsOfFile: "/proc/\(process.processIdentifier)/status", encoding: .utf8)) ?? ""
        return status.firstMatch(of: /VmRSS:\s+(\d+) kB/).flatMap { Double($0.1) }.map { $0 / 1024 } ?? 0
    }

    /// Stops it by SIGTERM and gives its exit status.
    func stop() -> Int32 {
        process.terminate()
        process.waitUntilExit()
        return process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus
    }

    /// A whole request's answer: its status, 0 where none came, and its body.
    func send(_ method: String, _ path: String, key: String, body: String = "") -> (status: Int, json: JSONValue?) {
        guard let client = Client(port) else { return (0, nil) }
        client.send(Client.request(method, path, key: key, body: body))
        let answer = client.read()
        let status = Int(answer.dropFirst(9).prefix(3)) ?? 0
        let content = answer.range(of: "\r\n\r\n").map { answer[$0.upperBound...] } ?? ""
        return (status, try? JSONValue(parsing: Array(content.utf8)))
    }
}

/// A connection that sends what it is told and may leave at any moment.
final class Client {
    private let descriptor: Int32

    /// Connects to a port of this machine; nil where that fails.
    init?(_ port: Int) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard status == 0 else {
            close(descriptor)
            return nil
        }
        var limit = timeval(tv_sec: 120, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    static func request(_ method: String, _ path: String, key: String, body: String) -> String {
        "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \(key)\r\nContent-Type: application/json\r\n"
            + "Connection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    func send(_ text: some StringProtocol) {
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { return }
            rest = rest.dropFirst(count)
        }
    }

    /// Reads until the end, or until there are `limit` bytes.
    func read(limit: Int = .max) -> String {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while bytes.count < limit {
            let count = recv(descriptor, &buffer, min(buffer.count, limit - bytes.count), 0)
            guard count > 0 else { break }
            bytes += buffer.prefix(count)
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
