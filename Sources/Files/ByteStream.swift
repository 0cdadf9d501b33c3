/// The content of an ordinary file from its beginning to its end, decompressed where the file is compressed.
///
/// The file's first bytes tell the compression; a file whose name states a compression that its content does not have is refused.
/// Memory does not grow with the file.
public final class ByteStream {
    /// The path at which the file was opened.
    public let path: String
    /// The file's compression; nil where it has none.
    public let compression: Compression?
    /// The file's own size in bytes.
    public var fileBytes: Int { file.count }

    private let file: RegularFile
    private let decoder: (any StreamDecoder)?
    private var hasher = SHA256Digest.Hasher()
    /// Bytes of the file read so far.
    private var position = 0
    /// Bytes read and not decoded yet.
    private var pending: ArraySlice<UInt8> = []
    /// Decoded bytes that ``peek(_:)`` left for ``next()``.
    private var ahead: [UInt8] = []

    private static let inputBytes = 1 << 18
    private static let outputBytes = 1 << 20

    /// Opens the file at `path`.
    ///
    /// Throws `FileError`, for a misnamed file ``FileError/notCompressed(path:as:)``.
    public init(path: String) throws {
        file = try RegularFile(path: path)
        self.path = path
        let beginning = try file.bytes(in: 0..<min(file.count, 4))
        compression = Compression(beginning: beginning)
        decoder = compression?.decoder()
        if let named = Compression(name: path), named != compression, file.count > 0 {
            throw FileError.notCompressed(path: path, as: named.rawValue)
        }
    }

    /// The next bytes of the content; none at its end.
    ///
    /// Throws ``FileError/damaged(path:format:offset:reason:)`` where they cannot be decompressed, also where the file ends too early.
    public func next() throws -> [UInt8] {
        guard ahead.isEmpty else {
            defer { ahead = [] }
            return ahead
        }
        guard let decoder else { return try read() }
        while true {
            if pending.isEmpty { pending = try read()[...] }
            let (consumed, output) = try decode(with: decoder)
            pending = pending.dropFirst(consumed)
            if !output.isEmpty { return output }
            guard consumed == 0, position == file.count else { continue }
            guard decoder.isComplete, pending.isEmpty else {
                throw damaged(decoder, "the file ends in the middle of the compressed data")
            }
            return []
        }
    }

    /// The next bytes, at least `count` or all that are left, which ``next()`` returns again.
    public func peek(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let more = try next()
            if more.isEmpty { break }
            bytes += more
        }
        ahead = bytes
        return bytes
    }

    /// The SHA-256 of the file's own bytes, as far as they were read.
    public func digest() -> SHA256Digest { hasher.finalize() }

    /// The next bytes of the file itself; none at its end.
    private func read() throws -> [UInt8] {
        let bytes = try file.bytes(in: position..<min(file.count, position + Self.inputBytes))
        position += bytes.count
        hasher.update(bytes)
        return bytes
    }

    private func decode(with decoder: any StreamDecoder) throws -> (consumed: Int, output: [UInt8]) {
        var consumed = 0
        let output = try unsafe [UInt8](unsafeUninitializedCapacity: Self.outputBytes) { buffer, count in
            let target = UnsafeMutableRawBufferPointer(buffer)
            (consumed, count) = try unsafe pending.withUnsafeBytes { input in
                do throws(DecodingFault) { return try unsafe decoder.decode(input, into: target) } catch {
                    throw damaged(decoder, error.reason)
                }
            }
        }
        return (consumed, output)
    }

    private func damaged(_ decoder: any StreamDecoder, _ reason: String) -> FileError {
        .damaged(path: path, format: compression?.rawValue ?? "", offset: position - pending.count, reason: reason)
    }
}
