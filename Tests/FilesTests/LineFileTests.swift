import Files
import TestSupport
import Testing

@Suite struct LineFileTests {
    @Test func `lines are added behind those there are`() throws {
        let scratch = ScratchDirectory()
        try scratch.write(Array("one\n".utf8), to: "lines")
        try LineFile(path: scratch["lines"]).append("two")
        let again = try LineFile(path: scratch["lines"])
        try again.append("")
        try again.append("Ω")
        #expect(String(decoding: scratch.bytes("lines"), as: UTF8.self) == "one\ntwo\n\nΩ\n")
    }

    @Test func `a file that is not there, and a pipe, are refused`() throws {
        let scratch = ScratchDirectory()
        #expect(throws: FileError.self) { try LineFile(path: scratch["none"]) }
        #expect(throws: FileError.self) { try LineFile(path: scratch.path) }
    }
}
