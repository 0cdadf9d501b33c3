import Foundation
import Glibc
import TestSupport
import Testing

import Files

@Suite struct FileLockTests {
    let scratch = ScratchDirectory()

    @Test func `a second holder is refused and told who the first is`() throws {
        let first = try FileLock(path: scratch["lock"], purpose: "kvlab train")
        let error = #expect(throws: FileError.self) { try FileLock(path: scratch["lock"]) }
        guard case .locked(let path, let holder) = error else {
            Issue.record("expected a lock error, found \(String(describing: error))")
            return
        }
        #expect(path == first.path)
        #expect(holder.hasPrefix("kvlab train, process \(getpid()) on "))
    }

    @Test func `a lock is free again when its holder goes`() throws {
        do { _ = try FileLock(path: scratch["lock"], purpose: "a much longer purpose than the second one") }
        let second = try FileLock(path: scratch["lock"], purpose: "b")
        #expect(throws: FileError.self) { try FileLock(path: scratch["lock"]) }
        let file = try MappedFile(path: second.path)
        #expect(String(decoding: try file.bytes(in: 0..<file.count), as: UTF8.self).hasPrefix("b, process"))
    }

    @Test func `a lock is free when its holder goes, though a starting child process still shares its file`() throws {
        var shared: [Int32] = []
        do {
            let lock = try FileLock(path: scratch["lock"])
            // What fork leaves in a child until its exec: another descriptor of the same open file.
            shared = (3..<4096).filter {
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\($0)")) == lock.path
            }
            .map { dup(Int32($0)) }
        }
        defer { for descriptor in shared { close(descriptor) } }
        #expect(shared.count == 1)
        _ = try FileLock(path: scratch["lock"])
        #expect(!FileLock.isHeld(path: scratch["lock"]))
    }

    @Test(.timeLimit(.minutes(10)))
    func `a link, a pipe or a device in the lock's place is refused, and what the link names untouched`() throws {
        try scratch.write(Array("precious".utf8), to: "victim")
        symlink(scratch["victim"], scratch["link"])
        #expect(throws: FileError.symbolicLink(path: scratch["link"])) { try FileLock(path: scratch["link"]) }
        mkfifo(scratch["pipe"], 0o600)
        #expect(throws: FileError.notRegular(path: scratch["pipe"])) { try FileLock(path: scratch["pipe"]) }
        for name in ["link", "pipe", "absent"] { #expect(!FileLock.isHeld(path: scratch[name])) }
        #expect(scratch.bytes("victim") == Array("precious".utf8))
    }

    @Test func `a lock that has another name too is held and not written to`() throws {
        try scratch.write(Array("precious".utf8), to: "victim")
        link(scratch["victim"], scratch["lock"])
        let lock = try FileLock(path: scratch["lock"])
        #expect(FileLock.isHeld(path: scratch["lock"]))
        #expect(scratch.bytes("victim") == Array("precious".utf8))
        withExtendedLifetime(lock) {}
    }
}
