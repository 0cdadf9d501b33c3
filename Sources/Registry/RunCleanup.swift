import Files
import Foundation

/// Files under a registry's folder that nothing will read again.
public struct RunCleanup: Sendable, Equatable {
    /// One file that can go.
    public struct Item: Sendable, Equatable, Encodable {
        /// The file, relative to the registry's folder.
        public var path: String
        /// Its size.
        public var bytes: Int
        /// Why it can go.
        public var reason: String
    }

    /// What can go, by path.
    public var items: [Item]
    private let root: String

    /// Training states of finished runs, and temporary files that killed processes left behind more than an hour ago.
    ///
    /// Nothing of a run that a process holds is touched, and never a model.
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

    /// Deletes them, run by run, holding each run's lock; a run that somebody has taken meanwhile is left alone.
    ///
    /// Returns what was deleted.
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
