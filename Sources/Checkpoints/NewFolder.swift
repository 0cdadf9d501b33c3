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
        let temporary = path + ".kvlab-tmp-\(getpid())"
        guard unsafe mkdir(temporary, 0o777) == 0 else {
            throw FileError.system(path: directory, action: "create", errno: errno)
        }
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
}
