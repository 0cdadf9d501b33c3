import Evaluation
import Files
import Foundation

/// The folder of an evaluation: `run.json`, `records.jsonl` and `summary.json`.
///
/// The records are appended one by one as examples finish. An evaluation that was killed goes on where it stopped: the same command
/// keeps the records that are complete, a torn last line is dropped, and a folder of another evaluation is refused.
public final class RecordFolder {
    /// The inputs that an evaluation's records depend on.
    public struct Run: Codable, Sendable, Equatable {
        /// A model, known by the content of its files.
        public struct Model: Codable, Sendable, Equatable {
            /// The model's name.
            public var name: String
            /// The SHA-256 of its file, or of the list of its folder's files with theirs.
            public var sha256: String
        }

        /// ``RecordFolder/format``.
        public var format = RecordFolder.format
        /// The task's name.
        public var task: String
        /// The models, the reference first.
        public var models: [Model]
        /// Configurations of caches.
        public var caches: [String]
        /// The task's options by their flags.
        public var options: [String: String]
        /// The SHA-256 of each file that the task reads, by name.
        public var files: [String: String]

        /// The inputs of an evaluation in this format.
        public init(
            task: String, models: [Model], caches: [String], options: [String: String], files: [String: String] = [:]
        ) {
            (self.task, self.models, self.caches, self.options, self.files) = (task, models, caches, options, files)
        }

        /// The fields as text, in the order in which they are compared.
        private var fields: [(name: String, value: String)] {
            [("format", "\(format)"), ("task", task)]
                + models.map { ("model \($0.name)", $0.sha256) } + [("models", models.map(\.name).joined(separator: ", "))]
                + [("caches", caches.joined(separator: " "))]
                + options.sorted { $0.key < $1.key }.map { ("--\($0.key)", $0.value) }
                + files.sorted { $0.key < $1.key }.map { ("file \($0.key)", $0.value) }
        }

        /// The first field in which `recorded` differs; nil where none does.
        func difference(from recorded: Run) -> (field: String, recorded: String, found: String)? {
            let old = Dictionary(recorded.fields.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
            for (name, value) in fields where old[name] != value { return (name, old[name] ?? "not set", value) }
            return nil
        }
    }

    /// Raised when a record of the same run would come out otherwise than before.
    public static let format = 2

    /// The records, earlier calls' first.
    public private(set) var records: [ExampleRecord]
    private let path: String
    private let file: AppendedFile
    private let lock: FileLock

    /// Opens the folder at `path`, which is made where it is missing.
    ///
    /// Throws ``LongContextError/otherRun(folder:field:recorded:found:)`` where it holds another evaluation.
    public init(path: String, run: Run) throws {
        self.path = path
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        lock = try FileLock(path: path + "/lock", purpose: "kvlab eval")
        let (description, lines) = (path + "/run.json", path + "/records.jsonl")
        if FileManager.default.fileExists(atPath: description) {
            let recorded = try Self.run(description)
            if let found = run.difference(from: recorded) {
                throw LongContextError.otherRun(
                    folder: path, field: found.field, recorded: found.recorded, found: found.found)
            }
        } else {
            try TextFile.write(try CanonicalJSON.text(of: run, pretty: true) + "\n", to: description)
        }
        records = try Self.read(lines)
        file = try AppendedFile(path: lines)
    }

    private static func run(_ path: String) throws -> Run {
        let bytes = try RegularFile.contents(path, links: .refused, limit: 1 << 24)
        guard let run = try? CanonicalJSON.value(Run.self, from: Data(bytes)) else { throw LongContextError.noRun(path: path) }
        return run
    }

    /// The summary of a folder's records, scored anew, and the number of scores that changed; records, summary and the options in
    /// `run.json` are written anew. `lineSimilarity` replaces the rule for lines of code that the evaluation had.
    ///
    /// Throws ``LongContextError``, or `ScoringError` naming file and line for a record that cannot be scored.
    public static func rescore(
        _ path: String, jieba: Jieba?, lineSimilarity: LineSimilarity?
    ) throws -> (summary: LongContextSummary, changed: Int) {
        let (description, lines) = (path + "/run.json", path + "/records.jsonl")
        var run = try run(description)
        guard run.format == format else {
            throw LongContextError.otherRun(folder: path, field: "format", recorded: "\(run.format)", found: "\(format)")
        }
        let lock = try FileLock(path: path + "/lock", purpose: "kvlab eval")
        defer { withExtendedLifetime(lock) {} }
        var options = ScoringTask.Options(jieba: jieba)
        let recorded = run.options["line-similarity"].flatMap(LineSimilarity.init(rawValue:))
        options.lineSimilarity = lineSimilarity ?? recorded ?? options.lineSimilarity
        options.harness = run.options["scoring"].flatMap { HarnessScoring(source: $0) }
        if let lineSimilarity, recorded != nil { run.options["line-similarity"] = lineSimilarity.rawValue }
        var (records, changed) = (try read(lines), 0)
        for index in records.indices {
            let scores: [String: Double]
            do throws(ScoringError) { scores = try records[index].scoring.scores(records[index].output, options) } catch {
                guard case .line(_, let reason) = error else { throw error }
                throw ScoringError.file(lines, line: index + 1, reason: reason)
            }
            if scores != records[index].scores { changed += 1 }
            records[index].scores = scores
        }
        let summary = LongContextSummary(task: run.task, models: run.models.map(\.name), caches: run.caches, records: records)
        let text = try records.map { try CanonicalJSON.text(of: $0) + "\n" }.joined()
        // The records first: without them the options would be of other scores.
        try TextFile.write(text, to: lines)
        try TextFile.write(try CanonicalJSON.text(of: run, pretty: true) + "\n", to: description)
        try TextFile.write(summary.json + "\n", to: path + "/summary.json")
        return (summary, changed)
    }

    /// The records of a file, whose torn last line is removed; none for a missing file, which is made.
    private static func read(_ path: String) throws -> [ExampleRecord] {
        guard FileManager.default.fileExists(atPath: path) else {
            try TextFile.write("", to: path)
            return []
        }
        var bytes = try RegularFile.contents(path, links: .refused)
        let whole = (bytes.lastIndex(of: UInt8(ascii: "\n")) ?? -1) + 1
        if whole < bytes.count {
            bytes.removeSubrange(whole...)
            try AtomicFile.write(bytes, to: path, links: .refused)
        }
        return try bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).dropLast().enumerated().map {
            guard let record = try? CanonicalJSON.value(ExampleRecord.self, from: Data($1)) else {
                throw LongContextError.damaged(path: path, line: $0 + 1)
            }
            return record
        }
    }

    /// Adds a record, which is on disk when this returns.
    public func append(_ record: ExampleRecord) throws {
        try file.append(line: try CanonicalJSON.text(of: record))
        records.append(record)
    }

    /// Writes the summary of the records.
    public func write(_ summary: LongContextSummary) throws {
        try TextFile.write(summary.json + "\n", to: path + "/summary.json")
    }
}

extension RecordFolder.Run.Model {
    /// The model in the file or folder at `path`.
    public init(name: String, path: String) throws {
        func digest(_ path: String) throws -> String {
            let file = try RegularFile(path: path)
            return try file.digest(of: [0..<file.count]).hex
        }
        func names(_ path: String) -> [String]? { try? FileManager.default.contentsOfDirectory(atPath: path) }
        guard let files = names(path) else {
            self.init(name: name, sha256: try digest(path))
            return
        }
        // Folders inside belong to no model.
        let lines = try files.sorted().filter { names("\(path)/\($0)") == nil }.map { "\($0) \(try digest("\(path)/\($0)"))\n" }
        self.init(name: name, sha256: SHA256Digest(of: lines.joined()).hex)
    }
}
