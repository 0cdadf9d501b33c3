import Files
import Glibc
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(10))) struct RegularFileTests {
    let scratch = ScratchDirectory()

    @Test(arguments: [RegularFile.Access.read, .update, .append])
    func `pipes, links, devices and directories are refused at once`(access: RegularFile.Access) throws {
        mkfifo(scratch["pipe"], 0o600)
        try scratch.write([1, 2, 3], to: "file")
        symlink(scratch["file"], scratch["link"])
        symlink(scratch["absent"], scratch["dangling"])
        #expect(throws: FileError.notRegular(path: scratch["pipe"])) { try RegularFile(path: scratch["pipe"], access) }
        #expect(throws: FileError.notRegular(path: "/dev/null")) { try RegularFile(path: "/dev/null", access) }
        for name in ["link", "dangling"] {
            #expect(throws: FileError.symbolicLink(path: scratch[name])) {
                try RegularFile(path: scratch[name], access, links: .refused)
            }
        }
        #expect(throws: FileError.system(path: scratch.path, action: "open", errno: EISDIR)) {
            try RegularFile(path: scratch.path, access)
        }
        #expect(try RegularFile(path: scratch["link"], access).count == 3)
        #expect(scratch.names == ["dangling", "file", "link", "pipe"])
    }

    @Test func `a file that is cut while it is open is an error, not a signal`() throws {
        try scratch.write([UInt8](repeating: 7, count: 100_000), to: "a")
        let file = try RegularFile(path: scratch["a"])
        #expect(try file.bytes(in: 99_998..<100_000) == [7, 7])
        truncate(scratch["a"], 50_000)
        let cut = FileError.outOfRange(path: scratch["a"], offset: 0, count: 100_000, size: 50_000)
        #expect(throws: cut) { try file.bytes(in: 0..<100_000) }
        #expect(throws: FileError.self) { try file.digest(of: [0..<100_000]) }
        #expect(throws: cut) { try MappedFile(copying: 0..<100_000, of: file) }
        #expect(try file.bytes(in: 0..<50_000).count == 50_000)
    }

    @Test func `a digest of ranges is that of their bytes, one behind the other`() throws {
        let bytes = (0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        try scratch.write(bytes, to: "a")
        let file = try RegularFile(path: scratch["a"])
        let ranges = [3..<10, 0..<0, 500..<900_001, 999_999..<1_000_000]
        #expect(try file.digest(of: ranges) == SHA256Digest(of: ranges.flatMap { bytes[$0] }))
        #expect(throws: FileError.self) { try file.digest(of: [0..<1_000_001]) }
    }

    @Test func `content has a limit that is looked at before anything is read`() throws {
        truncate(scratch["none"], 0)
        try scratch.write([], to: "large")
        truncate(scratch["large"], 1 << 40)
        #expect(throws: FileError.tooLarge(path: scratch["large"], size: 1 << 40, limit: 1000)) {
            try RegularFile.contents(scratch["large"], links: .refused, limit: 1000)
        }
    }

    @Test func `what a file's identity is changes with its content, its size and its place`() throws {
        try scratch.write([1, 2, 3], to: "a")
        let before = try FileIdentity(path: scratch["a"])
        #expect(try FileIdentity(path: scratch["a"]) == before)
        usleep(20_000)
        let file = try RegularFile(path: scratch["a"], .update)
        pwrite(file.descriptor, [9], 1, 0)
        let written = try FileIdentity(path: scratch["a"])
        #expect(written != before)
        try AtomicFile.write([9, 2, 3], to: scratch["a"])
        #expect(try FileIdentity(path: scratch["a"]) != written)
    }

    @Test func `the sentences of the errors`() {
        let sentences: [(FileError, String)] = [
            (
                .symbolicLink(path: "a"),
                "a: a symbolic link, which is not followed here; remove it, or put the file itself in its place"
            ),
            (.tooLarge(path: "a", size: 9, limit: 5), "a: the file has 9 bytes, expected at most 5"),
            (.changed(path: "a"), "a: changed while it was being read; start again when nobody writes to it"),
        ]
        for (error, sentence) in sentences { #expect(error.description == sentence) }
    }
}
