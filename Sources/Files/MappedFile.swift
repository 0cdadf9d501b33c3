import CFiles
import Glibc

/// Bytes of a file in memory: mapped read-only, or copied; released with the last reference.
///
/// Views of the bytes must keep the `MappedFile` alive. A copy never changes. A mapping is the file itself: later writes to the
/// file are visible. Where the file is truncated or its disk fails, reading a missing byte ends the process with a sentence that
/// names the file, and exit status 1. (kvlab's own writers never change a file in place: they rename a new one over it.) To read
/// with an error instead, see ``RegularFile``.
@safe public final class MappedFile: @unchecked Sendable {
    // Sendable: the bytes are private, read-only and at a fixed address from init to deinit.

    /// The path at which the file was opened.
    public let path: String
    /// Number of bytes.
    public let count: Int
    /// Whether the bytes are a copy, unaffected by changes of the file.
    public let isCopy: Bool
    private let base: UnsafeRawPointer?
    private let watch: UnsafeMutableRawPointer?

    /// Maps the whole of the file at `path`; an empty file gives an empty mapping.
    public convenience init(path: String) throws {
        try self.init(try RegularFile(path: path))
    }

    /// Maps the whole of `file`, which need not stay open.
    public convenience init(_ file: RegularFile) throws {
        try self.init(descriptor: file.descriptor, count: file.count, path: file.path)
    }

    /// Maps the first `count` bytes of an open ordinary file; `path` names it in errors.
    public init(descriptor: Int32, count: Int, path: String) throws {
        (self.path, self.count, isCopy) = (path, count, false)
        guard count > 0 else {
            unsafe (base, watch) = (nil, nil)
            return
        }
        guard let mapped = unsafe mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0), unsafe mapped != MAP_FAILED else {
            throw FileError.system(path: path, action: "map", errno: errno)
        }
        unsafe base = UnsafeRawPointer(mapped)
        unsafe watch = kvlab_watch(mapped, count, path)
    }

    /// Copies `range` of `file`; throws `FileError` where it exceeds the file.
    ///
    /// The memory is mapped from the system and returned with the object, whatever its size.
    public init(copying range: Range<Int>, of file: RegularFile) throws {
        (path, count, isCopy) = (file.path, range.count, true)
        unsafe watch = nil
        guard range.lowerBound >= 0, range.upperBound <= file.count else {
            throw FileError.outOfRange(path: path, offset: range.lowerBound, count: range.count, size: file.count)
        }
        guard !range.isEmpty else {
            unsafe base = nil
            return
        }
        guard let memory = unsafe mmap(nil, range.count, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0),
            unsafe memory != MAP_FAILED
        else { throw FileError.system(path: path, action: "copy to memory", errno: errno) }
        unsafe base = UnsafeRawPointer(memory)
        // Every property is set, so deinit releases the memory.
        try unsafe file.read(into: UnsafeMutableRawBufferPointer(start: memory, count: range.count), at: range.lowerBound)
        unsafe mprotect(memory, range.count, PROT_READ)
    }

    deinit {
        unsafe kvlab_unwatch(watch)
        if let base = unsafe base { unsafe munmap(UnsafeMutableRawPointer(mutating: base), count) }
    }

    /// All bytes, valid only inside `body` or while this object is kept alive by its owner.
    public func withUnsafeBytes<Result>(_ body: (UnsafeRawBufferPointer) throws -> Result) rethrows -> Result {
        try unsafe body(UnsafeRawBufferPointer(start: base, count: count))
    }

    /// Drops the resident pages of `range`, which are read from the file again on access; a copy keeps its memory.
    ///
    /// For passes over files larger than memory: what was read stays resident otherwise until the system is short of memory.
    public func release(_ range: Range<Int>) {
        guard !isCopy, !range.isEmpty, range.lowerBound >= 0, range.upperBound <= count, let base = unsafe base else { return }
        // Linux maps what it has cached around a page that is read, up to the 2 MiB of a huge page. Releasing more than the range does no
        // harm.
        let around = 2 << 20
        let (start, end) = (max(0, range.lowerBound - around) & ~4095, min(count, range.upperBound + around))
        unsafe madvise(UnsafeMutableRawPointer(mutating: base + start), end - start, MADV_DONTNEED)
    }

    /// A copy of the bytes in `range`; throws where it exceeds the file.
    public func bytes(in range: Range<Int>) throws -> [UInt8] {
        guard range.lowerBound >= 0, range.upperBound <= count else {
            throw FileError.outOfRange(path: path, offset: range.lowerBound, count: range.count, size: count)
        }
        return unsafe withUnsafeBytes { unsafe [UInt8]($0[range]) }
    }
}
