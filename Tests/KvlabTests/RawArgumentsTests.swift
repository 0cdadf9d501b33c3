import Foundation
import TestSupport
import Testing

@testable import kvlab

/// The command line, byte for byte.
@Suite struct RawArgumentsTests {
    private let scratch = ScratchDirectory()

    @Test(
        arguments: [
            (["inspect", "a.h5"], nil), ([], nil), (["--out", "é"], nil), (["--out", "a\u{ff}"], "--out is 'a\\xff'"),
            (["train", "--out=a\u{ff}b"], "--out is 'a\\xffb'"), (["train", "\u{fe}.json"], "argument 2 is '\\xfe.json'"),
            (["\u{80}"], "argument 1 is '\\x80'"), (["--", "\u{c3}"], "argument 2 is '\\xc3'"),
            (["-v", "\u{ff}="], "argument 2 is"),
        ] as [([String], String?)])
    func `an argument that is not UTF-8 is refused by name`(arguments: [String], sentence: String?) {
        // Characters from U+0080 to U+00FF stand for single bytes here, but for é.
        let raw = arguments.map { $0 == "é" ? Array("é".utf8) : $0.unicodeScalars.map { UInt8($0.value) } }
        let refusal = RawArguments.refusal(of: raw)
        #expect(refusal.map { $0.hasPrefix(sentence ?? "no refusal") } ?? (sentence == nil), "\(refusal ?? "")")
    }

    @Test func `a path that is not UTF-8 makes nothing`() throws {
        let tool = try #require(Tool.path)
        try scratch.write(Array("some text to learn from, some text".utf8), to: "text.txt")
        let command =
            "cd '\(scratch.path)'; '\(tool)' tokenizer train --text text.txt --vocab-size 257 --out \"$(printf 'b\\377')\""
        let outcome = try Python.execute("/bin/sh", ["-c", command])
        #expect(outcome.status == 64 && outcome.errors.contains("--out is 'b\\xff', which is not UTF-8"), "\(outcome.errors)")
        #expect(outcome.output.isEmpty && scratch.names == ["text.txt"])
    }
}
