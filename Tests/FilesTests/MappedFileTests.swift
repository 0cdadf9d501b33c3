import Files
import Foundation
import TestSupport
import Testing

@Suite struct MappedFileTests {
    let scratch = ScratchDirectory()

    @Test func `a pipe is refused at once, not waited for`() throws {
        #expect(mkfifo(scratch["p"], 0o600) == 0)
        let error = #expect(throws: FileError.self) { try MappedFile(path: scratch["p"]) }
        #expect(error == .notRegular(path: scratch["p"]))
        #expect(throws: FileError.notRegular(path: "/dev/zero")) { try MappedFile(path: "/dev/zero") }
        #expect(throws: FileError.self) { try MappedFile(path: scratch.path) }
    }

    /// KiB of the file `name` that are in memory of this process.
    private func resident(_ name: String) throws -> Int? {
        // Read to its end, as a file of /proc states no size.
        let bytes = try FileHandle(forReadingAtPath: "/proc/self/smaps")?.readToEnd()
        let maps = String(decoding: bytes ?? Data(), as: UTF8.self).split(separator: "\n")
        let place = try #require(maps.firstIndex { $0.hasSuffix(scratch[name]) })
        return maps[place...].first { $0.hasPrefix("Rss:") }?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
    }

    @Test func `what a mapping lets go of is not resident, and is read again where it is needed`() throws {
        try scratch.write((0..<2048).flatMap { [UInt8](repeating: UInt8($0 % 251), count: 4096) }, to: "large")
        let file = try MappedFile(path: scratch["large"])
        let bytes = try file.bytes(in: 0..<file.count)
        #expect(try resident("large") == 8 << 10)
        file.release(4 << 20..<(4 << 20) + 1)
        #expect(try (1..<8 << 10).contains(resident("large") ?? 0))
        file.release(0..<file.count)
        #expect(try resident("large") == 0)
        #expect(try file.bytes(in: 0..<file.count) == bytes)
        let copy = try MappedFile(copying: 0..<file.count, of: try RegularFile(path: scratch["large"]))
        copy.release(0..<copy.count)
        #expect(try copy.bytes(in: 0..<copy.count) == bytes)
    }

    @Test func `a copy stays as it was when the file is overwritten and cut`() throws {
        try scratch.write([UInt8](repeating: 1, count: 20_000), to: "a")
        let copy = try MappedFile(copying: 5_000..<15_000, of: try RegularFile(path: scratch["a"]))
        let file = try RegularFile(path: scratch["a"], .update)
        let other = [UInt8](repeating: 2, count: 20_000)
        pwrite(file.descriptor, other, other.count, 0)
        ftruncate(file.descriptor, 1)
        #expect(copy.isCopy && copy.count == 10_000)
        #expect(try copy.bytes(in: 0..<10_000) == [UInt8](repeating: 1, count: 10_000))
        #expect(try MappedFile(copying: 0..<0, of: file).count == 0)
        #expect(throws: FileError.self) { try MappedFile(copying: 10_000..<20_001, of: try RegularFile(path: scratch["a"])) }
    }

    @Test func `reading what was cut off a mapped file ends the process with a sentence, not by a signal`() async throws {
        let result = try await #require(processExitsWith: .exitCode(1), observing: [\.standardErrorContent]) {
            let scratch = ScratchDirectory()
            try scratch.write([UInt8](repeating: 1, count: 100_000), to: "cut")
            // What went before is no longer watched.
            do { _ = try MappedFile(path: scratch["cut"]) }
            let file = try MappedFile(path: scratch["cut"])
            truncate(scratch["cut"], 10)
            let sum = file.withUnsafeBytes { $0.reduce(0) { $0 &+ Int($1) } }
            print("read \(sum)")
            exit(3)
        }
        let text = String(decoding: result.standardErrorContent, as: UTF8.self)
        #expect(text.contains("cut: became shorter while it was in use"), "\(text)")
    }
}
