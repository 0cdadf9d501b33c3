import Files
import Foundation
import GRDB

/// An index over the runs and checkpoints under a folder, in SQLite.
///
/// The folders are the truth: opening the registry rereads changed runs and checkpoints and drops deleted ones, and the index
/// can be deleted at any time. It lies in the folder as registry.sqlite; if that cannot be written, it is kept in memory.
public final class RunRegistry: Sendable {
    /// The folder.
    public let root: String
    private let database: DatabaseQueue

    /// The index's name in its folder.
    public static let fileName = "registry.sqlite"

    /// The reason that the index is kept in memory; nil for an index on disk.
    public let indexProblem: RegistryError?

    /// The registry of the runs under `root`, up to date.
    ///
    /// A damaged index, or one of another version of the tool, is rebuilt; an index that cannot be written, for want of space
    /// or rights or because another process keeps it busy for ten seconds, is left alone, and replaced by one in memory.
    /// Throws ``RegistryError/noFolder(root:)``.
    ///
    /// - Parameter rebuild: whether to rebuild the index in any case.
    public init(root: String, rebuild: Bool = false) throws {
        var root = root
        while root.count > 1, root.hasSuffix("/") { root.removeLast() }
        self.root = root
        let scan = try RunScan(root: root)
        let path = root + "/" + Self.fileName
        do {
            database = try Self.open(path, scan, rebuild: rebuild)
            indexProblem = nil
        } catch let error as DatabaseError {
            indexProblem = .unwritableIndex(path: path, reason: Self.reason(error))
            database = try Self.reading(path) {
                let queue = try DatabaseQueue()
                try Self.create(queue)
                try Self.refresh(queue, scan)
                return queue
            }
        }
    }

    /// The index on disk, up to date.
    private static func open(_ path: String, _ scan: RunScan, rebuild: Bool) throws -> DatabaseQueue {
        func current() throws -> DatabaseQueue {
            let queue = try prepared(path)
            if rebuild { try create(queue) }
            try refresh(queue, scan)
            return queue
        }
        do {
            return try current()
        } catch let error as DatabaseError where [.SQLITE_NOTADB, .SQLITE_CORRUPT].contains(error.resultCode) {
            for suffix in ["", "-journal", "-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
            return try current()
        }
    }

    /// The result of `body`, SQLite's errors turned into ``RegistryError``.
    private static func reading<Value>(_ path: String, _ body: () throws -> Value) throws -> Value {
        do { return try body() } catch let error as DatabaseError {
            throw RegistryError.unreadableIndex(path: path, reason: reason(error))
        }
    }

    private func reading<Value>(_ body: (Database) throws -> Value) throws -> Value {
        try Self.reading(root + "/" + Self.fileName) { try database.read(body) }
    }

    /// SQLite's message without the statement.
    private static func reason(_ error: DatabaseError) -> String {
        error.message ?? "SQLite's error \(error.extendedResultCode.rawValue)"
    }

    private static func prepared(_ path: String) throws -> DatabaseQueue {
        var configuration = Configuration()
        configuration.busyMode = .timeout(10)
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        let version = try queue.read { try Int.fetchOne($0, sql: "PRAGMA user_version") }
        if version != schemaVersion { try create(queue) }
        return queue
    }

    private static let schemaVersion = 3

    private static func create(_ queue: DatabaseQueue) throws {
        try queue.inTransaction(.immediate) { database in
            // Indexes of version 2 have metrics.
            for table in ["metric", "validation", "run", "checkpoint"] {
                try database.execute(sql: "DROP TABLE IF EXISTS \(table)")
            }
            try database.execute(
                sql: """
                    CREATE TABLE run (path TEXT PRIMARY KEY, name TEXT NOT NULL, status TEXT NOT NULL, step INTEGER NOT NULL,
                      recipe TEXT NOT NULL, loss REAL, validationLoss REAL, validationBitsPerByte REAL, tokensPerSecond REAL,
                      bytes INTEGER NOT NULL, updated REAL NOT NULL, stamp TEXT NOT NULL);
                    CREATE TABLE validation (run TEXT NOT NULL REFERENCES run(path) ON DELETE CASCADE, line INTEGER NOT NULL,
                      step INTEGER NOT NULL, bitsPerByte REAL NOT NULL, PRIMARY KEY (run, line)) WITHOUT ROWID;
                    CREATE TABLE checkpoint (path TEXT PRIMARY KEY, hash TEXT, parentHash TEXT, name TEXT, conversion TEXT,
                      source TEXT, steps INTEGER NOT NULL, tokensSeen INTEGER NOT NULL, parameters INTEGER NOT NULL,
                      kvHeads TEXT NOT NULL, attention TEXT NOT NULL, kvBytesPerToken INTEGER NOT NULL, bytes INTEGER NOT NULL,
                      problem TEXT, stamp TEXT NOT NULL);
                    CREATE INDEX checkpointHash ON checkpoint(hash);
                    CREATE INDEX checkpointParent ON checkpoint(parentHash);
                    PRAGMA user_version = \(schemaVersion);
                    """)
            return .commit
        }
    }

    /// Seconds that a refresh spends on unreadable checkpoints, which bounds the refresh of a folder full of them.
    private static let problemSeconds = 60.0

    /// Rereads the changed runs and checkpoints in one transaction.
    ///
    /// An unreadable checkpoint is indexed with its error. Once such files have taken a minute, which takes some hundreds of
    /// them, checkpoints that are not indexed yet are postponed to the next refresh.
    private static func refresh(_ database: DatabaseQueue, _ scan: RunScan) throws {
        var left = Self.problemSeconds
        try database.inTransaction(.immediate) { database in
            try update(
                database, table: "run", found: scan.runs, stamp: scan.stamp(run:),
                insert: { path in
                    let (run, validations) = scan.run(path)
                    try run.insert(database)
                    for validation in validations { try validation.insert(database) }
                })
            try update(
                database, table: "checkpoint", found: scan.checkpoints, stamp: scan.stamp(checkpoint:),
                insert: { path in
                    guard left > 0 else { return try scan.postponed(path, after: Self.problemSeconds).insert(database) }
                    let start = ContinuousClock.now
                    let record = scan.checkpoint(path)
                    if record.problem != nil { left -= (ContinuousClock.now - start) / .seconds(1) }
                    try record.insert(database)
                })
            return .commit
        }
    }

    private static func update(
        _ database: Database, table: String, found: [String], stamp: (String) -> String, insert: (String) throws -> Void
    ) throws {
        let rows = try Row.fetchAll(database, sql: "SELECT path, stamp FROM \(table)")
        var known: [String: String] = [:]
        for row in rows { known[row["path"]] = row["stamp"] }
        let present = Set(found)
        for path in known.keys where !present.contains(path) {
            try database.execute(sql: "DELETE FROM \(table) WHERE path = ?", arguments: [path])
        }
        for path in found where known[path] != stamp(path) {
            try database.execute(sql: "DELETE FROM \(table) WHERE path = ?", arguments: [path])
            try insert(path)
        }
    }

    /// Every run, by path.
    public func runs() throws -> [RunRecord] {
        try reading { try RunRecord.fetchAll($0, sql: "SELECT * FROM run ORDER BY path") }
    }

    /// Every checkpoint, by path, unreadable ones included.
    public func checkpoints() throws -> [CheckpointRecord] {
        try reading { try CheckpointRecord.fetchAll($0, sql: "SELECT * FROM checkpoint ORDER BY path") }
    }

    /// The run called `name`: its folder, the end of its folder's path, its recipe's name, or at least four leading digits of
    /// its model's content hash.
    ///
    /// Throws ``RegistryError/unknownRun(name:root:known:)`` or ``RegistryError/ambiguousRun(name:matches:)``.
    public func run(_ name: String) throws -> RunRecord {
        let all = try runs()
        var name = name
        while name.count > 1, name.hasSuffix("/") { name.removeLast() }
        let relative = name.hasPrefix(root + "/") ? String(name.dropFirst(root.count + 1)) : name
        if let run = all.first(where: { $0.path == relative }) { return run }
        let models = try checkpoints()
        let matches = all.filter { run in
            let hash = Self.model(of: run, in: models)?.hash
            return run.path.hasSuffix("/" + relative) || run.name == name
                || name.count >= 4 && hash?.hasPrefix(name) == true
        }
        guard let first = matches.first else {
            throw RegistryError.unknownRun(name: name, root: root, known: all.prefix(6).map(\.path))
        }
        guard matches.count == 1 else { throw RegistryError.ambiguousRun(name: name, matches: matches.map(\.path)) }
        return first
    }

    /// The run's model, or the checkpoint of an unfinished run.
    public func model(of run: RunRecord) throws -> CheckpointRecord? { Self.model(of: run, in: try checkpoints()) }

    static func model(of run: RunRecord, in checkpoints: [CheckpointRecord]) -> CheckpointRecord? {
        let folder = run.path == "." ? "" : run.path + "/"
        return ["model.h5", "checkpoint.h5"].lazy.compactMap { name in
            checkpoints.first { $0.path == folder + name && $0.hash != nil }
        }.first
    }

    /// Held-out bits per byte of the run after each validation, in order.
    public func validations(of run: RunRecord) throws -> [(step: Int, bitsPerByte: Double)] {
        try reading { database in
            try Row.fetchAll(
                database, sql: "SELECT step, bitsPerByte FROM validation WHERE run = ? ORDER BY line", arguments: [run.path]
            ).map { ($0["step"], $0["bitsPerByte"]) }
        }
    }
}
