import Files
import Glibc
import TestSupport
import Testing

@Suite struct MappedFileTests {
    @Test func `a pipe is refused at once, not waited for`() throws {
        let scratch = ScratchDirectory()
        #expect(unsafe mkfifo(scratch["p"], 0o600) == 0)
        let error = #expect(throws: FileError.self) { try MappedFile(path: scratch["p"]) }
        #expect(error == .notRegular(path: scratch["p"]))
        #expect(throws: FileError.notRegular(path: "/dev/zero")) { try MappedFile(path: "/dev/zero") }
        #expect(throws: FileError.self) { try MappedFile(path: scratch.path) }
    }
}
