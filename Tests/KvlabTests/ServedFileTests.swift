import Foundation
import TestSupport
import Testing

/// What happens to a model's file while it is served.
@Suite(.enabled(if: Tool.path != nil, "kvlab is not built beside the tests"))
struct ServedFileTests {
    @Test func `a model is served as it was loaded, whatever becomes of its file`() throws {
        let server = try ServedTool(["--no-prefix-sharing"])
        let body = #"{"model": "tiny", "prompt": "kvlab", "max_tokens": 24, "temperature": 0, "logprobs": 1}"#
        func completion() throws -> String {
            let answer = server.send("POST", "/v1/completions", body: body)
            try #require(answer.status == 200, "\(answer)")
            return try #require(answer.json?["choices"]).text
        }
        let expected = try completion()
        let file = try FileHandle(forUpdating: URL(fileURLWithPath: server.modelPath))
        let size = try file.seekToEnd()
        try file.seek(toOffset: 0)
        try file.write(contentsOf: Data((0..<size).map { UInt8(truncatingIfNeeded: $0 &* 37) }))
        #expect(try completion() == expected)
        try file.truncate(atOffset: 0)
        #expect(try completion() == expected)
        try FileManager.default.removeItem(atPath: server.modelPath)
        #expect(try completion() == expected)
        #expect(server.isRunning)
    }
}
