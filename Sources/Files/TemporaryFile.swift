import Glibc

/// A file without a name, whose space is freed with its last reference: for what is too large for memory.
///
/// It lies in the folder that the environment variable TMPDIR names, else in `/var/tmp`, which unlike `/tmp` is on a disk.
@safe public struct TemporaryFile: ~Copyable {
    /// Bytes appended so far.
    public private(set) var count = 0

    private let descriptor: Int32
    private let folder: String
    private var buffer: [UInt8] = []

    private static let bufferBytes = 1 << 20

    /// Creates an empty file in `folder`, by default as described.
    public init(folder: String? = nil) throws {
        let variable = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) }
        let folder = folder ?? variable.flatMap { $0.isEmpty ? nil : $0 } ?? "/var/tmp"
        self.folder = folder
        var template = Array("\(folder)/.kvlab-XXXXXX".utf8CString)
        descriptor = unsafe mkstemp(&template)
        guard descriptor >= 0 else { throw FileError.system(path: folder, action: "create a temporary file", errno: errno) }
        _ = fcntl(descriptor, F_SETFD, FD_CLOEXEC)
        unsafe unlink(template)
    }

    deinit { close(descriptor) }

    /// Appends `bytes`.
    public mutating func append(_ bytes: some Collection<UInt8>) throws {
        buffer += bytes
        count += bytes.count
        if buffer.count >= Self.bufferBytes { try flush() }
    }

    /// The file's bytes, mapped; `path` names them in errors.
    public consuming func mapped(path: String) throws -> MappedFile {
        try flush()
        return try MappedFile(descriptor: descriptor, count: count, path: path)
    }

    private mutating func flush() throws {
        // Exceeding the process's file size limit must be an error (EFBIG), not a fatal signal.
        signal(SIGXFSZ, SIG_IGN)
        var done = 0
        while done < buffer.count {
            let written = unsafe buffer.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress! + done, $0.count - done) }
            if written < 0 {
                if errno == EINTR { continue }
                throw FileError.system(path: folder, action: "write a temporary file", errno: errno)
            }
            done += written
        }
        buffer.removeAll(keepingCapacity: true)
    }
}
