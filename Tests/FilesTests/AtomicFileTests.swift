import Glibc
import TestSupport
import Testing

import Files

@Suite struct AtomicFileTests {
    let scratch = ScratchDirectory()

    private func content(_ name: String) throws -> String {
        let file = try MappedFile(path: scratch[name])
        return String(decoding: try file.bytes(in: 0..<file.count), as: UTF8.self)
    }

    @Test func `a committed file has its content and leaves nothing beside it`() throws {
        try AtomicFile.write(Array("old".utf8), to: scratch["a"])
        try AtomicFile.write(Array("new and longer".utf8), to: scratch["a"])
        #expect(try content("a") == "new and longer")
        #expect(scratch.names == ["a"])
    }

    @Test func `a file that is not committed goes without a trace`() throws {
        do {
            var file = try AtomicFile(path: scratch["a"])
            try file.append([1, 2, 3])
            #expect(scratch.names.count == 1)
        }
        #expect(scratch.names.isEmpty)
    }

    @Test(arguments: AtomicFile.Stage.allCases)
    func `a failure at any stage leaves the old file or the new one`(stage: AtomicFile.Stage) throws {
        try AtomicFile.write(Array("old".utf8), to: scratch["a"])
        let failure = FileError.system(path: "a", action: "\(stage)", errno: EIO)
        #expect(throws: failure) {
            try AtomicFile.write(Array("new".utf8), to: scratch["a"]) { if $0 == stage { throw failure } }
        }
        #expect(try content("a") == (stage == .syncDirectory ? "new" : "old"))
        #expect(scratch.names == ["a"])
    }

    @Test func `a destination that cannot be written is an error naming it`() throws {
        mkdir(scratch["d"], 0o755)
        #expect(throws: FileError.system(path: scratch["d"], action: "replace", errno: EISDIR)) {
            try AtomicFile.write([1], to: scratch["d"])
        }
        #expect(throws: FileError.system(path: scratch["no/a"], action: "create", errno: ENOENT)) {
            try AtomicFile.write([1], to: scratch["no/a"])
        }
    }

    @Test func `a symbolic link is written through`() throws {
        try AtomicFile.write(Array("old".utf8), to: scratch["a"])
        symlink(scratch["a"], scratch["link"])
        try AtomicFile.write(Array("new".utf8), to: scratch["link"])
        #expect(try content("a") == "new")
        var status = stat()
        lstat(scratch["link"], &status)
        #expect(status.st_mode & S_IFMT == S_IFLNK)
    }

    @Test func `what a killed writer left is removed and a living writer's file is not`() throws {
        close(open(scratch[".a.999999-abc.kvlab-tmp"], O_CREAT | O_WRONLY, 0o644))
        let living = try AtomicFile(path: scratch["a"])
        #expect(scratch.names.count == 1)
        try AtomicFile.write([1], to: scratch["a"])
        #expect(scratch.names.count == 2)
        try living.commit()
        #expect(scratch.names == ["a"])
    }

    @Test func `a name of 255 bytes can be written`() throws {
        let name = String(repeating: "n", count: 255)
        try AtomicFile.write([1], to: scratch[name])
        #expect(scratch.names == [name])
    }

    @Test func `a symbolic link is refused where none is to be followed, and what it names untouched`() throws {
        try AtomicFile.write(Array("old".utf8), to: scratch["a"])
        symlink(scratch["a"], scratch["link"])
        #expect(throws: FileError.symbolicLink(path: scratch["link"])) {
            try AtomicFile.write(Array("new".utf8), to: scratch["link"], links: .refused)
        }
        #expect(try content("a") == "old")
        #expect(scratch.names == ["a", "link"])
    }

    @Test(.timeLimit(.minutes(10))) func `pipes and links that are called like temporary files are left alone, not waited for`()
        throws
    {
        mkfifo(scratch[".a.1-1.kvlab-tmp"], 0o600)
        try scratch.write([1], to: "victim")
        symlink(scratch["victim"], scratch[".a.2-2.kvlab-tmp"])
        try AtomicFile.write([2], to: scratch["a"])
        #expect(scratch.names == [".a.1-1.kvlab-tmp", ".a.2-2.kvlab-tmp", "a", "victim"])
    }
}
