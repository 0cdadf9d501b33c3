import Files
import Glibc

/// A cache on disk of a corpus's token ids, so that a text is encoded once for each tokenizer.
///
/// ```
/// magic "KVLTOKEN" | u32 version | u32 bytes an id | u64 tokens | u64 documents | key, 32 bytes | SHA-256 of the rest, 32
/// ids, padded to 8 bytes | the documents' starts, u64 each
/// ```
/// All little-endian. In version 2, for texts with chats, ids have 4 bytes and the complement of an id stands for a token that is no
/// target. The key is a hash of the text, the documents in it and the tokenizer, and names the file. A file with any
/// damaged byte is encoded anew. A file with a right digest but impossible tokens or documents is rejected.
public struct TokenCache: Sendable {
    /// The directory of the files.
    public let directory: String

    private static let magic = Array("KVLTOKEN".utf8)
    /// The format version, raised when the layout changes or an encoder gives other ids than before.
    private static let version: UInt32 = 1
    private static let chatVersion: UInt32 = 2
    private static let headerBytes = 96

    /// A cache in `directory`, which is created with the first file.
    public init(directory: String) {
        self.directory = directory
    }

    /// The path of the cached tokens of `corpus`.
    public func path(_ corpus: Corpus, tokenizer: some Tokenizer) -> String {
        "\(directory)/\(Self.key(corpus, tokenizer).hex.prefix(32)).tokens"
    }

    /// The tokens of `corpus`, mapped from disk; encoded and written first where they are not cached.
    ///
    /// Throws ``TextError/invalidTokenCache(path:reason:)`` for a forged file.
    ///
    /// - Parameter progress: called while encoding, with the bytes done and the bytes in all.
    public func stream(
        _ corpus: Corpus, tokenizer: some Tokenizer, progress: (_ bytes: Int, _ of: Int) throws -> Void = { _, _ in }
    ) throws -> TokenStream {
        let path = path(corpus, tokenizer: tokenizer)
        let key = Self.key(corpus, tokenizer)
        if let stream = try Self.open(path, key: key, vocabularySize: tokenizer.vocabularySize) { return stream }
        try Self.makeDirectory(directory)
        try Self.write(path, key: key, corpus, tokenizer, progress)
        if let stream = try Self.open(path, key: key, vocabularySize: tokenizer.vocabularySize) { return stream }
        // The written file cannot be read back: continue without the cache.
        return try TokenStream(corpus, tokenizer: tokenizer, progress: progress)
    }

    private static func key(_ corpus: Corpus, _ tokenizer: some Tokenizer) -> SHA256Digest {
        var hasher = SHA256Digest.Hasher()
        hasher.update(corpus.selectionHash.bytes)
        hasher.update(SHA256Digest(of: tokenizer.serialized.kind).bytes)
        hasher.update(SHA256Digest(of: tokenizer.serialized.bytes).bytes)
        hasher.update(little(UInt64(corpus.hasChats ? chatVersion : version)))
        return hasher.finalize()
    }

    /// The stream in the file at `path`; nil where the file is missing or damaged.
    private static func open(_ path: String, key: SHA256Digest, vocabularySize: Int) throws(TextError) -> TokenStream? {
        guard let file = try? MappedFile(path: path), file.count >= headerBytes,
            let header = try? file.bytes(in: 0..<headerBytes), Array(header[..<8]) == magic,
            let version = [version, chatVersion].first(where: { UInt64($0) == number(header, 8, 4) }),
            Array(header[32..<64]) == key.bytes,
            let width = Int(exactly: number(header, 12, 4)), width == 2 && version != chatVersion || width == 4,
            let count = Int(exactly: number(header, 16, 8)), let documents = Int(exactly: number(header, 24, 8)),
            count <= file.count / width, documents <= file.count / 8,
            file.count == headerBytes + padded(count * width) + documents * 8
        else { return nil }
        let (payload, largest) = examine(
            file, ids: headerBytes..<headerBytes + count * width, width: width, hasChats: version == chatVersion)
        guard Array(header[64..<96]) == payload.bytes,
            let bytes = try? file.bytes(in: headerBytes + padded(count * width)..<file.count)
        else { return nil }
        guard count == 0 || largest < vocabularySize else {
            throw .invalidTokenCache(path: path, reason: "a token is \(largest), beyond a vocabulary of \(vocabularySize)")
        }
        let starts = (0..<documents).map { Int(truncatingIfNeeded: number(bytes, $0 * 8, 8)) }
        guard starts.allSatisfy({ (0...count).contains($0) }), zip(starts, starts.dropFirst()).allSatisfy({ $0 <= $1 }) else {
            throw .invalidTokenCache(path: path, reason: "its documents do not begin one behind the other in its \(count) tokens")
        }
        return TokenStream(mapped: file, offset: headerBytes, width: width, count: count, documentStarts: starts)
    }

    /// The digest of all behind the header, and the largest id; what was read doesn't stay in memory.
    private static func examine(
        _ file: MappedFile, ids: Range<Int>, width: Int, hasChats: Bool
    ) -> (SHA256Digest, largest: Int) {
        var hasher = SHA256Digest.Hasher()
        var largest = 0
        for start in stride(from: headerBytes, to: file.count, by: 1 << 24) {
            let piece = start..<min(start + 1 << 24, file.count)
            unsafe file.withUnsafeBytes { bytes in
                unsafe hasher.update(UnsafeRawBufferPointer(rebasing: bytes[piece]))
                let part = unsafe UnsafeRawBufferPointer(rebasing: bytes[piece.clamped(to: ids)])
                let found: Int =
                    if hasChats { unsafe maximumID(of: part) } else if width == 2 {
                        unsafe Int(maximum(of: part, as: UInt16.self))
                    } else { unsafe Int(maximum(of: part, as: UInt32.self)) }
                largest = max(largest, found)
            }
            file.release(piece)
        }
        return (hasher.finalize(), largest)
    }

    /// The largest of little-endian ids of 4 bytes, or their complements.
    private static func maximumID(of bytes: UnsafeRawBufferPointer) -> Int {
        unsafe bytes.withMemoryRebound(to: Int32.self) { unsafe $0.reduce(0) { max($0, Int($1 < 0 ? ~$1 : $1)) } }
    }

    /// The largest of little-endian numbers, which are aligned to their size.
    private static func maximum<Number: FixedWidthInteger & UnsignedInteger>(
        of bytes: UnsafeRawBufferPointer, as _: Number.Type
    ) -> Number {
        unsafe bytes.withMemoryRebound(to: Number.self) { unsafe $0.reduce(0) { max($0, $1) } }
    }

    private static func write(
        _ path: String, key: SHA256Digest, _ corpus: Corpus, _ tokenizer: some Tokenizer,
        _ progress: (_ bytes: Int, _ of: Int) throws -> Void
    ) throws {
        let (version, isShort) = (corpus.hasChats ? chatVersion : version, tokenizer.vocabularySize <= 1 << 16)
        let width = isShort && version != chatVersion ? 2 : 4
        var file = try AtomicFile(path: path, links: .refused)
        try file.append([UInt8](repeating: 0, count: headerBytes))
        var payload = SHA256Digest.Hasher()
        var count = 0
        var starts: [Int] = []
        try CorpusEncoder(tokenizer).encode(corpus, progress: progress) { part throws in
            starts += part.documentStarts.map { $0 + count }
            count += part.ids.count
            var bytes: [UInt8] = []
            bytes.reserveCapacity(part.ids.count * width)
            for id in part.marked {
                for byte in 0..<width { bytes.append(UInt8(truncatingIfNeeded: id >> Int32(8 * byte))) }
            }
            payload.update(bytes)
            try file.append(bytes)
        }
        var tail = [UInt8](repeating: 0, count: padded(count * width) - count * width)
        for first in stride(from: 0, through: starts.count, by: 1 << 14) {
            tail += starts[first..<min(first + 1 << 14, starts.count)].flatMap { little(UInt64($0)) }
            payload.update(tail)
            try file.append(tail)
            tail = []
        }
        var header = magic + little(UInt64(version)).prefix(4) + little(UInt64(width)).prefix(4)
        header += little(UInt64(count)) + little(UInt64(starts.count)) + key.bytes + payload.finalize().bytes
        try unsafe header.withUnsafeBytes { try unsafe file.write($0, at: 0) }
        // The key is that of the text at opening.
        try corpus.checkUnchanged()
        try file.commit()
    }

    private static func makeDirectory(_ path: String) throws {
        var made = path.hasPrefix("/") ? "/" : ""
        for part in path.split(separator: "/") {
            made += part
            guard unsafe mkdir(made, 0o777) == 0 || errno == EEXIST else {
                throw FileError.system(path: made, action: "make the directory", errno: errno)
            }
            made += "/"
        }
    }

    private static func padded(_ bytes: Int) -> Int { (bytes + 7) / 8 * 8 }

    private static func little(_ value: UInt64) -> [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: value >> ($0 * 8)) }
    }

    private static func number(_ bytes: [UInt8], _ offset: Int, _ count: Int) -> UInt64 {
        (0..<count).reduce(0) { $0 | UInt64(bytes[offset + $1]) << (8 * UInt64($1)) }
    }
}
