import Files
import Foundation

/// Garbage collection of a registry's folder: the files that no run needs any more.
public struct RunCleanup: Sendable, Equatable {
    /// One removable file.
    public struct Item: Sendable, Equatable, Encodable {
        /// The file, relative to the registry's folder.
        public var path: String
        /// Its size.
        public var bytes: Int
        /// The reason that the file is removable.
        public var reason: String
    }

    /// The removable files, by path.
    public var items: [Item]
    private let root: String

    /// The training states of finished runs, and the temporary files of killed processes that are more than an hour old.
    ///
    /// Neither files of running runs nor models are listed.
    public init(_ registry: RunRegistry, now: Date = Date()) throws {
        root = registry.root
        items = []
        for run in try registry.runs() where run.status != .running {
            let folder = run.path == "." ? "" : run.path + "/"
            let names = ((try? FileManager.default.contentsOfDirectory(atPath: root + "/" + folder)) ?? []).sorted()
            for name in names {
                let stamp = FileStamp(root + "/" + folder + name)
                if name == "checkpoint.h5", run.status == .finished {
                    items.append(Item(path: folder + name, bytes: stamp.bytes, reason: "training state of a finished run"))
                } else if name.hasPrefix("."), name.hasSuffix(".kvlab-tmp"), stamp.modified < now.timeIntervalSince1970 - 3600 {
                    items.append(
                        Item(path: folder + name, bytes: stamp.bytes, reason: "left behind by a process that was killed"))
                }
            }
        }
    }

    /// Deletes the files, holding the lock of each one's run; a run that another process has locked meanwhile is left alone.
    ///
    /// Returns the deleted files.
    public func delete() throws -> [Item] {
        var done: [Item] = []
        for item in items {
            let file = root + "/" + item.path
            let folder = (file as NSString).deletingLastPathComponent
            guard let lock = try? FileLock(path: folder + "/lock", purpose: "kvlab runs gc") else { continue }
            try withExtendedLifetime(lock) { try FileManager.default.removeItem(atPath: file) }
            done.append(item)
        }
        return done
    }
}
