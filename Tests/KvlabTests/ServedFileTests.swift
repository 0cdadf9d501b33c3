import Foundation
import TestSupport
import Testing

@testable import kvlab

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

    @Test func `a model to serve has its file's name, or the one given before its path`() throws {
        let scratch = ScratchDirectory()
        try scratch.write([], to: "x=y.h5")
        try FileManager.default.createDirectory(atPath: scratch["Qwen2.5-0.5B"], withIntermediateDirectories: true)
        for (argument, id, path) in [
            ("runs/a/model.h5", "model", "runs/a/model.h5"), ("small=runs/a/model.h5", "small", "runs/a/model.h5"),
            ("small=a=b.h5", "small", "a=b.h5"), ("d=1/model.h5", "d", "1/model.h5"),
            ("runs/d=1/model.h5", "model", "runs/d=1/model.h5"),
            (scratch["x=y.h5"], "x=y", scratch["x=y.h5"]), (scratch["Qwen2.5-0.5B"], "Qwen2.5-0.5B", scratch["Qwen2.5-0.5B"]),
        ] {
            let served = try #require(ServedPath(argument: argument))
            #expect(served.id == id && served.path == path)
        }
        for argument in ["=model.h5", "small="] { #expect(ServedPath(argument: argument) == nil) }
        let twice = try Tool.run(["serve", "a/model.h5", "b/model.h5"], in: scratch.path)
        #expect(
            twice.status == 64 && twice.error.contains("two models have the id 'model'; name one of them otherwise: NAME=PATH"))
        let named = try Tool.run(["serve", "a/model.h5", "other=b/model.h5"], in: scratch.path)
        #expect(named.status == 1 && named.error.contains("a/model.h5: cannot stat"), "\(named.error)")
    }
}
