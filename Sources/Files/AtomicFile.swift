import Glibc

/// A file written beside its destination and renamed over it when complete, so that a crash, a kill or a full disk at
/// any moment leaves the old file or the new one, never a mix.
///
/// ```
/// .name.….tmp  ──write──▶ fsync ──▶ rename over name ──▶ fsync the directory
/// ```
/// The temporary file is removed when the value is destroyed without ``commit()``. A killed process's temporary file is removed
/// by the next writer of the same destination. A destination that is a symbolic link is followed or refused, as `links` says.
@safe public struct AtomicFile: ~Copyable {
    /// The stages at which a test can make a write fail.
    public enum Stage: String, Sendable, CaseIterable {
        case create, write, sync, rename, syncDirectory
    }

    /// A hook called before each stage; an error it throws replaces the stage.
    public typealias Faults = @Sendable (Stage) throws -> Void

    /// The destination.
    public let path: String
    /// The temporary path until ``commit()``; the file exists and is empty after `init`.
    public let temporaryPath: String
    /// Bytes appended so far.
    public private(set) var count = 0

    private let faults: Faults?
    private let descriptor: Int32
    private var isCommitted = false

    /// Creates the temporary file beside `path`.
    ///
    /// - Parameters:
    ///   - links: whether a symbolic link at `path` is followed.
    ///   - faults: a hook for tests of failure.
    public init(path: String, links: SymbolicLinks = .followed, faults: Faults? = nil) throws {
        // Exceeding the process's file size limit must be an error (EFBIG), not a fatal signal.
        signal(SIGXFSZ, SIG_IGN)
        try faults?(.create)
        let destination = try Self.resolve(path, links)
        let (directory, name) = Self.split(destination)
        Self.removeAbandoned(directory: directory, name: name)
        (temporaryPath, descriptor) = try Self.createTemporary(directory: directory, name: name, path: path)
        self.path = destination
        self.faults = faults
    }

    deinit {
        close(descriptor)
        if !isCommitted { unsafe unlink(temporaryPath) }
    }

    /// Appends `bytes`.
    public mutating func append(_ bytes: UnsafeRawBufferPointer) throws {
        try unsafe write(bytes, at: count)
        count += bytes.count
    }

    /// Appends `bytes`.
    public mutating func append(_ bytes: [UInt8]) throws {
        try unsafe bytes.withUnsafeBytes { try unsafe append($0) }
    }

    /// Writes `bytes` at `offset`; a gap before them is filled with zeros.
    public func write(_ bytes: UnsafeRawBufferPointer, at offset: Int) throws {
        try faults?(.write)
        var done = 0
        while done < bytes.count {
            // Linux writes at most 2 GiB a call.
            let step = min(bytes.count - done, 1 << 30)
            let written = unsafe pwrite(descriptor, bytes.baseAddress! + done, step, off_t(offset + done))
            if written < 0 {
                if errno == EINTR { continue }
                throw FileError.system(path: path, action: "write", errno: errno)
            }
            done += written
        }
    }

    /// Writes `bytes` at `offset`.
    public func write(_ bytes: [UInt8], at offset: Int) throws {
        try unsafe bytes.withUnsafeBytes { try unsafe write($0, at: offset) }
    }

    /// Sets the file's size: truncates it, or extends it with zeros.
    public func truncate(to size: Int) throws {
        guard ftruncate(descriptor, off_t(size)) == 0 else {
            throw FileError.system(path: path, action: "resize", errno: errno)
        }
    }

    /// Preallocates `size` bytes, so that a full disk is found before the work of filling them.
    ///
    /// The file's size becomes `size`, filled with zeros; ``truncate(to:)`` returns the excess. On file systems without
    /// preallocation this does nothing.
    public func reserve(_ size: Int) throws {
        guard size > 0 else { return }
        let code = posix_fallocate(descriptor, 0, off_t(size))
        guard code == ENOSPC || code == EFBIG || code == EDQUOT else { return }
        throw FileError.system(path: path, action: "reserve \(size) bytes", errno: code)
    }

    /// Makes the content durable under its final name.
    public consuming func commit() throws {
        try faults?(.sync)
        guard fsync(descriptor) == 0 else { throw FileError.system(path: path, action: "sync", errno: errno) }
        try faults?(.rename)
        guard unsafe Glibc.rename(temporaryPath, path) == 0 else {
            throw FileError.system(path: path, action: "replace", errno: errno)
        }
        isCommitted = true
        try faults?(.syncDirectory)
        try Self.syncDirectory(Self.split(path).directory)
    }

    /// Replaces the file at `path` by one with the content `bytes`.
    public static func write(
        _ bytes: [UInt8], to path: String, links: SymbolicLinks = .followed, faults: Faults? = nil
    ) throws {
        var file = try AtomicFile(path: path, links: links, faults: faults)
        try file.append(bytes)
        try file.commit()
    }

    /// Makes renames and removals in `directory` durable.
    public static func syncDirectory(_ directory: String) throws {
        let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileError.system(path: directory, action: "open", errno: errno) }
        defer { close(descriptor) }
        // EINVAL: the file system does not support it.
        guard fsync(descriptor) == 0 || errno == EINVAL else {
            throw FileError.system(path: directory, action: "sync", errno: errno)
        }
    }
}

extension AtomicFile {
    /// The target of a symbolic link; a directory is refused here rather than after the work.
    private static func resolve(_ path: String, _ links: SymbolicLinks) throws -> String {
        var status = stat()
        guard unsafe lstat(path, &status) == 0 else { return path }
        if status.st_mode & S_IFMT == S_IFLNK {
            guard links == .followed else { throw FileError.symbolicLink(path: path) }
            if let real = unsafe realpath(path, nil) {
                defer { unsafe free(real) }
                return try resolve(unsafe String(cString: real), links)
            }
        }
        guard status.st_mode & S_IFMT != S_IFDIR else {
            throw FileError.system(path: path, action: "replace", errno: EISDIR)
        }
        return path
    }

    private static func split(_ path: String) -> (directory: String, name: String) {
        guard let slash = path.lastIndex(of: "/") else { return (".", path) }
        return (slash == path.startIndex ? "/" : String(path[..<slash]), String(path[path.index(after: slash)...]))
    }

    private static func prefix(_ name: String) -> String {
        // A file name has at most 255 bytes.
        "." + String(decoding: name.utf8.prefix(180), as: UTF8.self) + "."
    }

    private static let suffix = ".kvlab-tmp"

    /// Creates an empty, locked file; the lock tells `removeAbandoned` that its writer lives.
    private static func createTemporary(directory: String, name: String, path: String) throws -> (String, Int32) {
        while true {
            let tag = "\(getpid())-\(String(UInt32.random(in: 0 ... .max), radix: 16))"
            let temporary = "\(directory)/\(prefix(name))\(tag)\(suffix)"
            let descriptor = unsafe open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o666)
            guard descriptor >= 0 else {
                if errno == EEXIST { continue }
                throw FileError.system(path: path, action: "create", errno: errno)
            }
            var status = stat()
            // Between the two calls another writer may have removed the file as abandoned.
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno == EOPNOTSUPP || errno == ENOLCK,
                unsafe fstat(descriptor, &status) == 0, status.st_nlink > 0
            {
                return (temporary, descriptor)
            }
            close(descriptor)
        }
    }

    private static func removeAbandoned(directory: String, name: String) {
        for found in (try? FolderListing.names(in: directory, hidden: true)) ?? []
        where found.hasPrefix(prefix(name)) && found.hasSuffix(suffix) {
            guard let file = try? RegularFile(path: "\(directory)/\(found)", links: .refused) else { continue }
            withExtendedLifetime(file) {
                if flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 { unsafe unlink(file.path) }
            }
        }
    }
}
