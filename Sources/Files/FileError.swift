import Glibc

/// A fault of a file, as facts; `description` puts them into words.
public enum FileError: Error, CustomStringConvertible, Equatable {
    /// A system call failed on `path` with the operating system's error number.
    case system(path: String, action: String, errno: Int32)
    /// The file is empty where content is needed.
    case empty(path: String)
    /// A range lies outside the file.
    case outOfRange(path: String, offset: Int, count: Int, size: Int)
    /// The file is a pipe, a socket or a device, which cannot be read again.
    case notRegular(path: String)
    /// The path is a symbolic link where none is followed.
    case symbolicLink(path: String)
    /// The file exceeds the limit of its kind.
    case tooLarge(path: String, size: Int, limit: Int)
    /// The file was replaced or changed since it was opened.
    case changed(path: String)
    /// The compressed file can't be decompressed from `offset` on.
    case damaged(path: String, format: String, offset: Int, reason: String)
    /// The file's name states a compression that its content does not have.
    case notCompressed(path: String, as: String)
    /// Another process holds the lock on `path`.
    case locked(path: String, holder: String)

    /// The sentence for the user, the path first; a system error in the operating system's words.
    public var description: String {
        switch self {
        case .system(let path, let action, let code):
            unsafe "\(path): cannot \(action): \(String(cString: strerror(code)))"
        case .empty(let path):
            "\(path): the file is empty"
        case .outOfRange(let path, let offset, let count, let size):
            "\(path): \(count) bytes at offset \(offset) were expected, but the file ends at \(size)"
        case .notRegular(let path):
            "\(path): a pipe or a device, expected an ordinary file; write what it gives to a file first"
        case .symbolicLink(let path):
            "\(path): a symbolic link, which is not followed here; remove it, or put the file itself in its place"
        case .tooLarge(let path, let size, let limit):
            "\(path): the file has \(size) bytes, expected at most \(limit)"
        case .changed(let path):
            "\(path): changed while it was being read; start again when nobody writes to it"
        case .damaged(let path, let format, let offset, let reason):
            "\(path): damaged \(format) data near byte \(offset) of the file: \(reason); fetch or make the file again"
        case .notCompressed(let path, let format):
            "\(path): named as a \(format) file, but its content is none; rename it, or fetch it again"
        case .locked(let path, let holder):
            "\(path): in use by \(holder); wait for it to finish, or choose another directory with --out"
        }
    }
}
