import Files
import Foundation
import Glibc

/// A folder that appears complete or not at all.
enum NewFolder {
    /// Lets `fill` write into a temporary folder beside `directory`, then gives it that name; an empty one there is replaced.
    ///
    /// Throws ``ImportError/occupied(path:)`` where `directory` is there and not empty.
    static func create<Result>(_ directory: String, fill: (_ temporary: String) throws -> Result) throws -> Result {
        var path = directory
        while path.count > 1, path.hasSuffix("/") { path.removeLast() }
        let files = FileManager.default
        var isDirectory: ObjCBool = false
        if unsafe files.fileExists(atPath: path, isDirectory: &isDirectory) {
            guard isDirectory.boolValue, try files.contentsOfDirectory(atPath: path).isEmpty else {
                throw ImportError.occupied(path: directory)
            }
        }
        removeAbandoned(path)
        let temporary = "\(path)\(mark)\(getpid())-\(String(UInt32.random(in: 0 ... .max), radix: 16))"
        guard unsafe mkdir(temporary, 0o777) == 0 else {
            throw FileError.system(path: directory, action: "create", errno: errno)
        }
        // Says that its writer lives: the lock goes with the process, however that ends.
        let lock = unsafe open(temporary, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        _ = flock(lock, LOCK_EX | LOCK_NB)
        defer { if lock >= 0 { close(lock) } }
        do {
            let result = try fill(temporary)
            guard unsafe rename(temporary, path) == 0 else {
                throw FileError.system(path: directory, action: "create", errno: errno)
            }
            try AtomicFile.syncDirectory(URL(fileURLWithPath: path).deletingLastPathComponent().path)
            return result
        } catch {
            // What failed matters more than whether its remains could be removed.
            try? files.removeItem(atPath: temporary)
            throw error
        }
    }

    private static let mark = ".kvlab-tmp-"

    /// Removes what writers of the same folder left behind when they were killed.
    private static func removeAbandoned(_ path: String) {
        let url = URL(fileURLWithPath: path)
        let parent = url.deletingLastPathComponent().path
        for name in (try? FileManager.default.contentsOfDirectory(atPath: parent)) ?? []
        where name.hasPrefix(url.lastPathComponent + mark) {
            let folder = parent + "/" + name
            let descriptor = unsafe open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
            guard descriptor >= 0 else { continue }
            if flock(descriptor, LOCK_EX | LOCK_NB) == 0 { try? FileManager.default.removeItem(atPath: folder) }
            close(descriptor)
        }
    }
}
