import Glibc

/// The identity of the file at a path, and the time of its last change.
struct FileStamp: Sendable, Equatable {
    private var device: UInt
    private var inode: UInt
    private var size: Int
    private var seconds: Int
    private var nanoseconds: Int

    /// The stamp of the file at `path`; nil where there is none.
    init?(path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        (device, inode, size) = (status.st_dev, status.st_ino, status.st_size)
        (seconds, nanoseconds) = (status.st_mtim.tv_sec, status.st_mtim.tv_nsec)
    }

    func isSameFile(as other: FileStamp) -> Bool { device == other.device && inode == other.inode }
}
