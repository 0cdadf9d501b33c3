import Files
import Foundation
import TestSupport
import Testing

@Suite struct ByteStreamTests {
    private let scratch = ScratchDirectory()
    private let text = "A caché: one, one, one, two.\n"

    /// What `gzip -9n` and `zstd -19 --check` make of the text.
    private static let compressed: [(name: String, bytes: [UInt8])] = [
        (
            "a.gz",
            [
                0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0x03, 0x73, 0x54, 0x48, 0x4e, 0x4c, 0xce, 0x38, 0xbc, 0xd2,
                0x4a,
                0x21, 0x3f, 0x2f, 0x55, 0x07, 0x89, 0x28, 0x29, 0xcf, 0xd7, 0xe3, 0x02, 0x00, 0x55, 0x8a, 0xfe, 0x6e, 0x1e, 0x00,
                0x00,
                0x00,
            ]
        ),
        (
            "a.zst",
            [
                0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x68, 0xcd, 0x00, 0x00, 0x98, 0x41, 0x20, 0x63, 0x61, 0x63, 0x68, 0xc3, 0xa9, 0x3a,
                0x20,
                0x6f, 0x6e, 0x65, 0x2c, 0x74, 0x77, 0x6f, 0x2e, 0x0a, 0x01, 0x00, 0x30, 0x8a, 0x12, 0x56, 0xa6, 0x01, 0x4e,
            ]
        ),
    ]

    private func content(_ name: String) throws -> String {
        let stream = try ByteStream(path: scratch[name])
        var bytes: [UInt8] = []
        while true {
            let piece = try stream.next()
            if piece.isEmpty { break }
            bytes += piece
        }
        #expect(stream.digest() == SHA256Digest(of: scratch.bytes(name)))
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test(arguments: 0..<2)
    func `compressed files are read by their content, in one part or several`(index: Int) throws {
        let (name, bytes) = Self.compressed[index]
        try scratch.write(bytes, to: name)
        try scratch.write(bytes + bytes, to: "two-" + name)
        try scratch.write(bytes, to: "plain.txt")
        #expect(try content(name) == text)
        #expect(try content("two-" + name) == text + text)
        #expect(try content("plain.txt") == text)
    }

    @Test func `zeros behind a gzip member are padding and other bytes are damage`() throws {
        let gzip = Self.compressed[0].bytes
        try scratch.write(gzip + [UInt8](repeating: 0, count: 512), to: "a.gz")
        #expect(try content("a.gz") == text)
        try scratch.write(gzip + Array("junk".utf8), to: "b.gz")
        let error = #expect(throws: FileError.self) { try content("b.gz") }
        #expect(
            error?.description.hasPrefix(
                "\(scratch["b.gz"]): damaged gzip data near byte 41 of the file: incorrect header check; fetch") == true)
    }

    @Test(arguments: 0..<2)
    func `a compressed file that ends early is refused wherever it ends`(index: Int) throws {
        let (name, bytes) = Self.compressed[index]
        for count in 1..<bytes.count {
            try scratch.write(bytes.prefix(count), to: name)
            let error = #expect(throws: FileError.self) { try content(name) }
            switch error {
            // What is left is not known for what it was.
            case .notCompressed: #expect(count < 4)
            case .damaged(_, _, let offset, let reason):
                #expect(offset == count && reason == "the file ends in the middle of the compressed data")
            default: Issue.record("\(count): \(String(describing: error))")
            }
        }
    }

    @Test(arguments: 0..<2)
    func `no changed bit of a compressed file gives another text`(index: Int) throws {
        let (name, bytes) = Self.compressed[index]
        var refused = 0
        for place in bytes.indices {
            for bit in 0..<8 {
                var changed = bytes
                changed[place] ^= 1 << bit
                try scratch.write(changed, to: name)
                do { #expect(try content(name) == text) } catch { refused += error is FileError ? 1 : 0 }
            }
        }
        // A gzip header says little that matters, such as the time.
        #expect(refused > bytes.count * 5)
    }

    @Test func `a name that states a compression the content has not is refused`() throws {
        try scratch.write(Array(text.utf8), to: "a.txt.gz")
        #expect(throws: FileError.notCompressed(path: scratch["a.txt.gz"], as: "gzip")) { try content("a.txt.gz") }
        try scratch.write(Self.compressed[0].bytes, to: "a.zst")
        #expect(throws: FileError.notCompressed(path: scratch["a.zst"], as: "zstd")) { try content("a.zst") }
    }

    @Test func `what was peeked at is read once`() throws {
        try scratch.write(Array(text.utf8), to: "a")
        let stream = try ByteStream(path: scratch["a"])
        #expect(try stream.peek(4).starts(with: Array(text.utf8).prefix(4)))
        #expect(try stream.next() == Array(text.utf8))
        #expect(try stream.next() == [])
    }

    @Test func `a temporary file has no name and holds all that was appended`() throws {
        var file = try TemporaryFile(folder: scratch.path)
        for piece in 0..<100 { try file.append([UInt8](repeating: UInt8(piece), count: 40_000)) }
        #expect(file.count == 4_000_000 && scratch.names.isEmpty)
        let mapped = try file.mapped(path: "text")
        #expect(try mapped.bytes(in: 39_999..<40_001) == [0, 1] && mapped.count == 4_000_000)
        mapped.release(0..<mapped.count)
        #expect(try mapped.bytes(in: 3_999_999..<4_000_000) == [99])
        #expect(throws: FileError.self) { _ = try TemporaryFile(folder: scratch["none"]) }
    }
}
