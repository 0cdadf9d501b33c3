import Glibc

/// A file mapped read-only into memory, unmapped when the last reference goes.
///
/// Whatever views its bytes must keep the `MappedFile` alive. The file must not shrink while mapped: kvlab's own
/// writers never truncate a file in place, they rename a new one over it.
@safe public final class MappedFile: @unchecked Sendable {
    // Sendable: the mapping is private, read-only and constant from init to deinit.

    /// Where the file was opened.
    public let path: String
    /// The file's size in bytes.
    public let count: Int
    private let base: UnsafeRawPointer?

    /// Maps the whole of the file at `path`; an empty file gives an empty mapping.
    public convenience init(path: String) throws {
        // Without O_NONBLOCK opening a pipe waits for its writer, for ever.
        let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw FileError.system(path: path, action: "open", errno: errno) }
        defer { close(descriptor) }
        try self.init(descriptor: descriptor, path: path)
    }

    /// Maps the whole of an open file, which may have no name any more; `path` is what errors call it.
    public init(descriptor: Int32, path: String) throws {
        self.path = path
        var status = stat()
        guard unsafe fstat(descriptor, &status) == 0 else {
            throw FileError.system(path: path, action: "stat", errno: errno)
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            guard status.st_mode & S_IFMT != S_IFDIR else {
                throw FileError.system(path: path, action: "map", errno: EISDIR)
            }
            throw FileError.notRegular(path: path)
        }
        count = Int(status.st_size)
        guard count > 0 else {
            unsafe base = nil
            return
        }
        guard let mapped = unsafe mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), unsafe mapped != MAP_FAILED else {
            throw FileError.system(path: path, action: "map", errno: errno)
        }
        unsafe base = UnsafeRawPointer(mapped)
    }

    deinit {
        if let base = unsafe base { unsafe munmap(UnsafeMutableRawPointer(mutating: base), count) }
    }

    /// All bytes, valid only inside `body` or while this object is kept alive by its owner.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try unsafe body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// A copy of `range`'s bytes; throws where it leaves the file.
    public func bytes(in range: Range<Int>) throws -> [UInt8] {
        guard range.lowerBound >= 0, range.upperBound <= count else {
            throw FileError.outOfRange(path: path, offset: range.lowerBound, count: range.count, size: count)
        }
        return unsafe withUnsafeBytes { unsafe [UInt8]($0[range]) }
    }
}
