import Foundation
import Random
import TestSupport
import Testing

/// Promise 1, full disks: without room at any moment a command ends with an error that says so, the old file is intact, nothing
/// temporary is left, and with room again it goes on to the same bytes.
@Suite(.serialized) struct FullDiskTortureTests {
    /// Starves `job` `count` times of disk, with room drawn with `seed`.
    private func torture(_ job: Job, times count: Int, seed: UInt64) throws {
        let disk = try LimitedDisk()
        func folder() throws -> String {
            try disk.empty()
            try job.prepare(disk.path)
            return disk.path
        }
        let whole = try folder()
        let old = try Job.content(whole)
        let before = disk.used
        let outcome = try Tool.run(job.arguments(whole), in: whole)
        try #require(outcome.status == 0, "\(job): \(outcome.error)")
        let new = try Job.content(whole)
        // What replaces a file lies beside it for a moment.
        let largest = new.filter { old[$0.key] != $0.value }.values.map(\.count).max() ?? 0
        let most = disk.isMounted ? disk.used - before + largest : largest
        var random = SeededGenerator(seed: seed, name: "\(job)")
        var failures = 0
        for _ in 0..<20 * count where failures < count {
            let parts = try folder()
            let room = Int(Double(most) * random.uniform())
            let starved = try disk.run(job.arguments(parts), room: room)
            let comment = "\(room) bytes of room"
            if starved.status != 0 {
                failures += 1
                #expect(starved.status == 1, "\(job), \(comment): \(starved.error)")
                #expect(
                    starved.error.contains("No space left on device") || starved.error.contains("File too large"),
                    "\(job), \(comment): \(starved.error)")
                #expect(try Job.leftovers(parts) == [], "\(job), \(comment)")
                try job.expectOldOrNew(parts, old: old, new: new, comment)
            }
            if starved.status == 0, job.product == nil { continue }
            let last = try Tool.run(job.arguments(parts), in: parts)
            #expect(last.status == 0, "\(job), after \(comment): \(last.error)")
            try job.expectFinished(parts, as: new, "after \(comment)")
        }
        #expect(failures == count, "\(job): \(failures) times without room")
    }

    @Test(arguments: [Job.train, .lab, .sweep])
    func `what runs out of disk says so and goes on with room, byte for byte`(job: Job) throws {
        try torture(job, times: Torture.count(1), seed: 5)
    }

    @Test(arguments: Job.writers) func `a command without room for its file leaves the old one`(job: Job) throws {
        try torture(job, times: Torture.count(1), seed: 6)
    }
}

/// A folder on a file system of its own, of which a ballast file takes what shall not be free.
///
/// It is a tmpfs where this process may mount one (root, or a user namespace). Elsewhere the size of each file is limited instead
/// (RLIMIT_FSIZE), which fails the same writes with another error; the first use says so.
final class LimitedDisk {
    private let scratch = ScratchDirectory()
    /// Whether there is a file system to fill.
    let isMounted: Bool
    /// The folder.
    var path: String { scratch["disk/work"] }

    init() throws {
        try FileManager.default.createDirectory(atPath: scratch["disk"], withIntermediateDirectories: true)
        isMounted = mount("kvlab-torture", scratch["disk"], "tmpfs", 0, "size=32m") == 0
        if !isMounted {
            print("no tmpfs can be mounted here (\(String(cString: strerror(errno)))): full disks are limits of file sizes")
        }
        try empty()
    }

    deinit { if isMounted { umount2(scratch["disk"], Int32(MNT_DETACH)) } }

    /// Bytes in use.
    var used: Int {
        var status = statvfs()
        guard statvfs(scratch["disk"], &status) == 0 else { return 0 }
        return Int(status.f_blocks - status.f_bfree) * Int(status.f_frsize)
    }

    /// Removes everything in the folder.
    func empty() throws {
        try? FileManager.default.removeItem(atPath: path)
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    /// Runs the tool in the folder with so many bytes of room, rounded up to a page; afterwards all the room is back.
    func run(_ arguments: [String], room: Int) throws -> Tool.Outcome {
        guard isMounted else {
            // dash counts blocks of 512 bytes; the limit holds for what the tool prints too.
            return try Tool.run(arguments, in: path, fileBytes: max(2048, room))
        }
        let ballast = open(scratch["disk/ballast"], O_CREAT | O_RDWR | O_CLOEXEC, 0o600)
        defer {
            close(ballast)
            unlink(scratch["disk/ballast"])
        }
        // To the last page that can be had, which need not be what statvfs says; then the room is given back.
        var size = 0
        for step in [1 << 20, 1 << 16, 1 << 12] {
            while posix_fallocate(ballast, off_t(size), off_t(step)) == 0 { size += step }
        }
        try #require(ftruncate(ballast, off_t(max(0, size - room) / 4096 * 4096)) == 0)
        return try Tool.run(arguments, in: path)
    }
}
