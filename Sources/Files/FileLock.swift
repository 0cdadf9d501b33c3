import Glibc

/// An exclusive lock between processes, held for as long as this object lives or until its process ends.
///
/// The lock is the kernel's (`flock`): nothing stays locked after a crash. The lock file names its holder. It is created where it
/// is missing and never removed, because removing it could let two holders in. A symbolic link, a pipe or a device in its place
/// is refused, and a file with other names (hard links) is locked but not written to.
public final class FileLock: Sendable {
    /// The lock file.
    public var path: String { file.path }
    private let file: RegularFile

    /// Takes the lock at `path`, or throws ``FileError/locked(path:holder:)`` with its holder.
    ///
    /// - Parameter purpose: the holder's activity, for another process's error: "kvlab train".
    public init(path: String, purpose: String = "kvlab") throws {
        file = try RegularFile(path: path, .update, links: .refused)
        guard flock(file.descriptor, LOCK_EX | LOCK_NB) == 0 else {
            let code = errno
            throw code == EWOULDBLOCK
                ? FileError.locked(path: path, holder: Self.holder(file.descriptor))
                : FileError.system(path: path, action: "lock", errno: code)
        }
        // Under another name the file may be of any kind.
        if file.hasOtherNames { return }
        let name = Array("\(purpose), process \(getpid()) on \(Self.host)".utf8)
        guard ftruncate(file.descriptor, 0) == 0, unsafe pwrite(file.descriptor, name, name.count, 0) == name.count else {
            throw FileError.system(path: path, action: "write", errno: errno)
        }
    }

    /// Unlocks before the file closes: a child process between `fork` and `exec` shares the open file, and would keep it locked.
    deinit {
        _ = flock(file.descriptor, LOCK_UN)
    }

    private static func holder(_ descriptor: Int32) -> String {
        var bytes = [UInt8](repeating: 0, count: 512)
        let count = unsafe pread(descriptor, &bytes, bytes.count, 0)
        let text = String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
        return text.isEmpty ? "another process" : text
    }

    private static var host: String {
        var bytes = [CChar](repeating: 0, count: 256)
        guard unsafe gethostname(&bytes, bytes.count - 1) == 0 else { return "this machine" }
        return String(decoding: bytes.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

extension FileLock {
    /// Whether a process holds the lock at `path`; false where the file is missing or cannot be a lock.
    ///
    /// The answer may be out of date on return. The test takes a shared lock for some microseconds.
    public static func isHeld(path: String) -> Bool {
        guard let file = try? RegularFile(path: path, links: .refused) else { return false }
        return withExtendedLifetime(file) {
            if flock(file.descriptor, LOCK_SH | LOCK_NB) != 0 { return errno == EWOULDBLOCK }
            _ = flock(file.descriptor, LOCK_UN)
            return false
        }
    }
}
