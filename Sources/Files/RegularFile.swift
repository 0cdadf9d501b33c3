import Glibc

/// The treatment of a path whose last component is a symbolic link.
public enum SymbolicLinks: Sendable {
    /// The link is followed: for paths that a user names.
    case followed
    /// The link is refused with ``FileError/symbolicLink(path:)``: for files that kvlab names, in directories that others may
    /// have made.
    case refused
}

/// An open ordinary file, read by system calls: truncation or change during reading is an error.
///
/// A pipe, a socket, a device and a directory are refused, and opening one of them does not block.
public final class RegularFile: Sendable {
    /// The access mode of a file.
    public enum Access: Sendable {
        case read
        /// To be locked and written in place; created where it is missing.
        case update
        /// To be appended to.
        case append
    }

    /// The path at which the file was opened.
    public let path: String
    /// The file descriptor, which closes with this object.
    public let descriptor: Int32
    /// The file's size in bytes when it was opened.
    public let count: Int
    /// Whether the file has other names (hard links).
    public let hasOtherNames: Bool

    /// Opens the file at `path`, or throws `FileError`.
    public init(path: String, _ access: Access = .read, links: SymbolicLinks = .followed) throws {
        self.path = path
        var flags =
            switch access {
            case .read: O_RDONLY
            case .update: O_RDWR | O_CREAT
            case .append: O_WRONLY | O_APPEND
            }
        if links == .refused { flags |= O_NOFOLLOW }
        // Without O_NONBLOCK, opening a pipe blocks until its other end is opened.
        descriptor = unsafe open(path, flags | O_NONBLOCK | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            let code = errno
            if code == ELOOP, links == .refused { throw FileError.symbolicLink(path: path) }
            // A pipe without a reader, or a socket.
            throw code == ENXIO ? FileError.notRegular(path: path) : FileError.system(path: path, action: "open", errno: code)
        }
        var status = stat()
        let found = unsafe fstat(descriptor, &status)
        let code = errno
        (count, hasOtherNames) = (found == 0 ? Int(status.st_size) : 0, status.st_nlink > 1)
        // Every property is set, so deinit closes the descriptor.
        guard found == 0 else { throw FileError.system(path: path, action: "stat", errno: code) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw status.st_mode & S_IFMT == S_IFDIR
                ? FileError.system(path: path, action: "open", errno: EISDIR) : FileError.notRegular(path: path)
        }
    }

    deinit { close(descriptor) }

    /// Reads the file from `offset` on into all of `bytes`; throws ``FileError/outOfRange(path:offset:count:size:)`` past its
    /// end.
    public func read(into bytes: UnsafeMutableRawBufferPointer, at offset: Int) throws {
        var done = 0
        while done < bytes.count {
            // Linux reads at most 2 GiB a call.
            let step = min(bytes.count - done, 1 << 30)
            let found = unsafe pread(descriptor, bytes.baseAddress! + done, step, off_t(offset + done))
            if found < 0 {
                if errno == EINTR { continue }
                throw FileError.system(path: path, action: "read", errno: errno)
            }
            guard found > 0 else {
                throw FileError.outOfRange(path: path, offset: offset, count: bytes.count, size: offset + done)
            }
            done += found
        }
    }

    /// A copy of the bytes in `range`; throws where it exceeds the file.
    public func bytes(in range: Range<Int>) throws -> [UInt8] {
        // Checked before memory is allocated for a claimed length.
        guard range.lowerBound >= 0, range.upperBound <= count else {
            throw FileError.outOfRange(path: path, offset: range.lowerBound, count: range.count, size: count)
        }
        return try unsafe [UInt8](unsafeUninitializedCapacity: range.count) { buffer, initialized in
            try unsafe read(
                into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: range.count), at: range.lowerBound)
            initialized = range.count
        }
    }

    /// The SHA-256 over the bytes of `ranges`, concatenated.
    public func digest(of ranges: [Range<Int>]) throws -> SHA256Digest {
        var hasher = SHA256Digest.Hasher()
        // Small enough to stay in the processor's cache between reading and hashing.
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 18, alignment: 64)
        defer { unsafe piece.deallocate() }
        for range in ranges {
            var position = range.lowerBound
            while position < range.upperBound {
                let part = unsafe UnsafeMutableRawBufferPointer(
                    rebasing: piece[..<min(piece.count, range.upperBound - position)])
                try unsafe read(into: part, at: position)
                unsafe hasher.update(UnsafeRawBufferPointer(part))
                position += part.count
            }
        }
        return hasher.finalize()
    }

    /// The whole content of a file of at most `limit` bytes; throws `FileError`.
    public static func contents(_ path: String, links: SymbolicLinks, limit: Int = .max) throws -> [UInt8] {
        let file = try RegularFile(path: path, links: links)
        guard file.count <= limit else { throw FileError.tooLarge(path: path, size: file.count, limit: limit) }
        return try file.bytes(in: 0..<file.count)
    }
}
