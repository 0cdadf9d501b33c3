import Files
import TestSupport
import Testing

@Suite struct AppendedFileTests {
    @Test func `lines are added behind those there are`() throws {
        let scratch = ScratchDirectory()
        try scratch.write(Array("one\n".utf8), to: "lines")
        try AppendedFile(path: scratch["lines"]).append(line: "two")
        let again = try AppendedFile(path: scratch["lines"])
        try again.append(line: "")
        try again.append(line: "Ω")
        #expect(String(decoding: scratch.bytes("lines"), as: UTF8.self) == "one\ntwo\n\nΩ\n")
    }

    @Test func `a file that is not there, and a pipe, are refused`() throws {
        let scratch = ScratchDirectory()
        #expect(throws: FileError.self) { try AppendedFile(path: scratch["none"]) }
        #expect(throws: FileError.self) { try AppendedFile(path: scratch.path) }
    }
}
