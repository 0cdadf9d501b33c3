import Glibc

/// What becomes of a path whose last part is a symbolic link.
public enum SymbolicLinks: Sendable {
    /// The file that the link names is meant: for what a user names.
    case followed
    /// ``FileError/symbolicLink(path:)``: for files whose names kvlab chose, in folders that somebody else may have made.
    case refused
}

/// An open ordinary file, read by system calls: where it is cut or changed while it is read, the call says so.
///
/// A pipe, a socket, a device and a directory are refused, and opening one of them waits for nobody.
public final class RegularFile: Sendable {
    /// What a file is opened for.
    public enum Access: Sendable {
        case read
        /// To be locked and written in place; made where it is missing.
        case update
        /// To be written behind what is in it.
        case append
    }

    /// Where the file was opened.
    public let path: String
    /// The open file; it closes with this object.
    public let descriptor: Int32
    /// The file's size in bytes when it was opened.
    public let count: Int
    /// Whether the file has other names, as hard links.
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
        // Without O_NONBLOCK opening a pipe waits for its other end, for ever.
        descriptor = unsafe open(path, flags | O_NONBLOCK | O_CLOEXEC, 0o666)
        guard descriptor >= 0 else {
            let code = errno
            if code == ELOOP, links == .refused { throw FileError.symbolicLink(path: path) }
            // A pipe that nobody reads; a socket.
            throw code == ENXIO ? FileError.notRegular(path: path) : FileError.system(path: path, action: "open", errno: code)
        }
        var status = stat()
        let found = unsafe fstat(descriptor, &status)
        let code = errno
        (count, hasOtherNames) = (found == 0 ? Int(status.st_size) : 0, status.st_nlink > 1)
        // All is set, so deinit closes the descriptor.
        guard found == 0 else { throw FileError.system(path: path, action: "stat", errno: code) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw status.st_mode & S_IFMT == S_IFDIR
                ? FileError.system(path: path, action: "open", errno: EISDIR) : FileError.notRegular(path: path)
        }
    }

    deinit { close(descriptor) }

    /// Fills `bytes` with the file's from `offset` on; throws ``FileError/outOfRange(path:offset:count:size:)`` where it ends before.
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

    /// A copy of `range`'s bytes; throws where it leaves the file.
    public func bytes(in range: Range<Int>) throws -> [UInt8] {
        // Before a claimed length asks for memory.
        guard range.lowerBound >= 0, range.upperBound <= count else {
            throw FileError.outOfRange(path: path, offset: range.lowerBound, count: range.count, size: count)
        }
        return try unsafe [UInt8](unsafeUninitializedCapacity: range.count) { buffer, initialized in
            try unsafe read(
                into: UnsafeMutableRawBufferPointer(start: buffer.baseAddress, count: range.count), at: range.lowerBound)
            initialized = range.count
        }
    }

    /// The SHA-256 over the bytes of `ranges`, one behind the other.
    public func digest(of ranges: [Range<Int>]) throws -> SHA256Digest {
        var hasher = SHA256Digest.Hasher()
        // Stays in the processor's cache on the way from the system to the digest.
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
