import Files
import Foundation
import Glibc

/// A folder that is created atomically.
enum NewFolder {
    /// Calls `fill` on a temporary folder beside `directory`, then renames it to `directory`, which may exist if it is empty.
    ///
    /// Throws ``ImportError/occupied(path:)`` if `directory` is not empty.
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
        // The lock marks the folder of a living process: it ends with the process.
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
            // The failure matters more than the removal of its remains.
            try? files.removeItem(atPath: temporary)
            throw error
        }
    }

    private static let mark = ".kvlab-tmp-"

    /// Removes the temporary folders of killed writers of the same folder.
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
