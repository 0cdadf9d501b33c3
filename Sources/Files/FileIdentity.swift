import Glibc

/// The identity and version of a file: equal values before and after a read show that the file did not change meanwhile.
public struct FileIdentity: Sendable, Hashable {
    private var device: UInt
    private var number: UInt
    private var size: Int
    /// Times of the last change of the content, and of content or attributes, which cannot be set back: seconds and nanoseconds.
    private var times: [Int]

    /// The identity of the file at `path`, symbolic links followed; throws `FileError`.
    public init(path: String) throws {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { throw FileError.system(path: path, action: "stat", errno: errno) }
        (device, number, size) = (UInt(status.st_dev), UInt(status.st_ino), Int(status.st_size))
        times = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
    }
}
