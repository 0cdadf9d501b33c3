import Files

/// The seal of a checkpoint file, in HDF5's user block at its start: it reveals damage before libhdf5 reads the file.
///
/// The seal has the file's size, the byte ranges of the weights (each with its own SHA-256 in the HDF5 part), and one SHA-256
/// over every other byte after the user block. It is a checksum, not a signature: a sealed file may be hostile
/// (``ListingProcess``).
/// ```
/// 0 magic (16) · 16 version u32 · 20 ranges u32 · 24 user block u64 · 32 file size u64
/// 40 SHA-256 of this user block with these 32 bytes zero · 72 SHA-256 of the metadata · 104 [offset u64, count u64]…
/// ```
/// Numbers are little-endian; the rest of the block is zero.
package struct CheckpointSeal: Equatable {
    static let magic = Array("kvlab checkpoint".utf8)
    static let hdf5Magic: [UInt8] = [0x89, 0x48, 0x44, 0x46, 0x0d, 0x0a, 0x1a, 0x0a]
    static let version = 1
    private static let headerBytes = 104

    /// Size of the user block in bytes.
    var userBlock: Int
    /// Size of the file in bytes.
    var fileSize: Int
    /// SHA-256 of the bytes after the user block and outside the weights.
    var metadata: SHA256Digest
    /// The byte ranges of the weights, ascending, without overlap.
    var weights: [Range<Int>]
}

extension CheckpointSeal {
    /// The seal for the finished file at `path`, whose user block is still to be written.
    package init(sealing path: String, userBlock: Int, weights: [Range<Int>]) throws {
        let file = try RegularFile(path: path)
        self.userBlock = userBlock
        fileSize = file.count
        self.weights = weights.sorted { $0.lowerBound < $1.lowerBound }
        metadata = try Self.metadataDigest(of: file, userBlock: userBlock, weights: self.weights)
    }

    /// The size of a user block for `count` ranges: a power of two from 512, as HDF5 requires.
    package static func userBlock(ranges count: Int) -> Int {
        var size = 512
        while size < headerBytes + 16 * count { size *= 2 }
        return size
    }

    /// The user block's bytes.
    package var encoded: [UInt8] {
        var bytes = Self.magic
        for number in [Self.version, weights.count] { bytes += UInt32(number).littleEndianBytes }
        for number in [userBlock, fileSize] { bytes += UInt64(number).littleEndianBytes }
        bytes += [UInt8](repeating: 0, count: 32) + metadata.bytes
        for number in weights.flatMap({ [$0.lowerBound, $0.count] }) { bytes += UInt64(number).littleEndianBytes }
        bytes += [UInt8](repeating: 0, count: userBlock - bytes.count)
        bytes.replaceSubrange(40..<72, with: SHA256Digest(of: bytes).bytes)
        return bytes
    }

    /// The SHA-256 over `file`'s bytes after the user block and outside `weights`.
    private static func metadataDigest(of file: RegularFile, userBlock: Int, weights: [Range<Int>]) throws -> SHA256Digest {
        let starts = [userBlock] + weights.map(\.upperBound)
        return try file.digest(of: zip(starts, weights.map(\.lowerBound) + [file.count]).map { $0..<$1 })
    }

    /// Reads the seal of `file` and verifies it and the metadata's digest.
    static func verified(_ file: RegularFile) throws -> CheckpointSeal {
        let path = file.path
        let start = try file.bytes(in: 0..<min(file.count, headerBytes))
        guard start.starts(with: magic) else {
            if start.isEmpty { throw FileError.empty(path: path) }
            let isHDF5 = start.starts(with: hdf5Magic) || hasLateSuperblock(file)
            throw isHDF5 ? CheckpointError.foreign(path: path) : CheckpointError.notCheckpoint(path: path)
        }
        guard start.count == headerBytes else {
            throw CheckpointError.size(path: path, found: file.count, expected: 512)
        }
        func number(_ bytes: Range<Int>) -> Int? { Int(exactly: UInt64(littleEndianBytes: start[bytes])) }
        let damaged = CheckpointError.changed(path: path, part: "the header")
        guard let found = number(16..<20), let count = number(20..<24), let userBlock = number(24..<32),
            let fileSize = number(32..<40)
        else { throw damaged }
        guard found <= version else { throw CheckpointError.version(path: path, found: found, supported: version) }
        guard userBlock >= 512, userBlock == Self.userBlock(ranges: count) else { throw damaged }
        guard file.count >= userBlock else { throw CheckpointError.size(path: path, found: file.count, expected: fileSize) }
        var block = try file.bytes(in: 0..<userBlock)
        let digest = Array(block[40..<72])
        block.replaceSubrange(40..<72, with: [UInt8](repeating: 0, count: 32))
        guard SHA256Digest(of: block).bytes == digest, let metadata = SHA256Digest(bytes: block[72..<104]) else { throw damaged }
        guard file.count == fileSize else { throw CheckpointError.size(path: path, found: file.count, expected: fileSize) }
        let weights = try ranges(block, count: count, userBlock: userBlock, fileSize: fileSize) ?? { throw damaged }()
        guard try metadataDigest(of: file, userBlock: userBlock, weights: weights) == metadata else {
            throw CheckpointError.changed(path: path, part: "its metadata")
        }
        return CheckpointSeal(userBlock: userBlock, fileSize: fileSize, metadata: metadata, weights: weights)
    }

    private static func ranges(_ block: [UInt8], count: Int, userBlock: Int, fileSize: Int) -> [Range<Int>]? {
        func number(_ offset: Int) -> Int? { Int(exactly: UInt64(littleEndianBytes: block[offset..<offset + 8])) }
        var ranges: [Range<Int>] = []
        var end = userBlock
        for index in 0..<count {
            guard let offset = number(headerBytes + 16 * index), let length = number(headerBytes + 16 * index + 8),
                offset >= end, offset <= fileSize, length <= fileSize - offset
            else { return nil }
            end = offset + length
            ranges.append(offset..<end)
        }
        return ranges
    }

    /// Whether HDF5's signature follows a user block, as in files of other tools.
    private static func hasLateSuperblock(_ file: RegularFile) -> Bool {
        var offset = 512
        while offset <= file.count - 8, offset <= 1 << 24 {
            if (try? file.bytes(in: offset..<offset + 8)) == hdf5Magic { return true }
            offset *= 2
        }
        return false
    }
}
