import Checkpoints
import Foundation
import TestSupport
import Testing
import Text

/// What happens to a model's file while it is served.
@Suite(.enabled(if: Tool.path != nil, "kvlab is not built beside the tests"))
struct ServedFileTests {
    private let scratch = ScratchDirectory()

    /// What the server on `port` answers to a greedy completion.
    private func completion(_ port: Int) throws -> String {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        let connected = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(connected == 0)
        let body = #"{"model": "m", "prompt": "kvlab", "max_tokens": 24, "temperature": 0, "logprobs": 1}"#
        let request = Array(
            "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
                .utf8)
        #expect(send(descriptor, request, request.count, Int32(MSG_NOSIGNAL)) == request.count)
        var answer: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            guard count > 0 else { break }
            answer += buffer[..<count]
        }
        let text = String(decoding: answer, as: UTF8.self)
        try #require(text.hasPrefix("HTTP/1.1 200"), "\(text)")
        // Without the request's own id and time.
        return try #require(text.firstRange(of: "\"choices\"").map { String(text[$0.lowerBound...]) }, "\(text)")
    }

    @Test func `a model is served as it was loaded, whatever becomes of its file`() throws {
        let config = TinyModel.config(vocabulary: 257)
        let path = scratch["m.h5"]
        try Checkpoint(
            config: config, parameters: TinyModel.parameters(config, seed: 5), tokenizer: ByteTokenizer().serialized
        ).save(to: path)
        let server = try Tool.process(["serve", "m.h5", "--port", "0", "--log", "none", "--no-prefix-sharing"], in: scratch.path)
        try scratch.write([], to: "out")
        server.standardOutput = FileHandle(forWritingAtPath: scratch["out"])
        try server.run()
        defer {
            server.terminate()
            server.waitUntilExit()
        }
        var port: Int?
        for _ in 0..<1200 where port == nil {
            let text = String(decoding: scratch.bytes("out"), as: UTF8.self)
            port = text.firstMatch(of: /:(\d+)\n/).flatMap { Int($0.output.1) }
            usleep(50_000)
        }
        let found = try #require(port, "\(String(decoding: scratch.bytes("out"), as: UTF8.self))")
        let expected = try completion(found)
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: path))
        let size = scratch.bytes("m.h5").count
        try file.write(contentsOf: Data((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 37) }))
        #expect(try completion(found) == expected)
        try file.truncate(atOffset: 0)
        #expect(try completion(found) == expected)
        try FileManager.default.removeItem(atPath: path)
        #expect(try completion(found) == expected)
        #expect(server.isRunning)
    }
}
