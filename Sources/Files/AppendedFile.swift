import Glibc

/// An append-only file of records, each written completely or, where the disk is full, not at all.
public final class AppendedFile: Sendable {
    private let file: RegularFile

    /// Opens the file at `path`, which must exist.
    public init(path: String) throws { file = try RegularFile(path: path, .append, links: .refused) }

    /// Appends a record; throws `FileError`.
    public func append(_ bytes: [UInt8]) throws {
        let start = lseek(file.descriptor, 0, SEEK_END)
        var done = 0
        while done < bytes.count {
            let written = unsafe bytes.withUnsafeBytes { bytes in
                unsafe bytes.baseAddress.map { unsafe Glibc.write(file.descriptor, $0 + done, bytes.count - done) } ?? 0
            }
            if written < 0 {
                let code = errno
                if code == EINTR { continue }
                // A partial record would make the next one unreadable too.
                if done > 0 { _ = ftruncate(file.descriptor, start) }
                throw FileError.system(path: file.path, action: "append", errno: code)
            }
            done += written
        }
    }

    /// Appends `line` and a newline, or nothing; throws `FileError`.
    public func append(line: String) throws { try append(Array((line + "\n").utf8)) }
}
