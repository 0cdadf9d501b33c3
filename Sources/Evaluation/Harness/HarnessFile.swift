import Foundation
import JSON

/// A task file of lm-evaluation-harness with the files that it includes: its keys, checked.
///
/// Keys that need Python (`!function`, `process_docs`, …) are refused by name, as are keys that the harness does not have.
struct HarnessFile: Sendable {
    /// The file.
    let path: String
    /// All files read, the included ones too.
    let files: [String]
    private let values: [String: JSONValue]

    /// Keys that mean something here.
    private static let read = [
        "dataset_path", "dataset_kwargs", "training_split", "validation_split", "test_split", "fewshot_split", "doc_to_text",
        "doc_to_target", "doc_to_choice", "description", "target_delimiter", "fewshot_delimiter", "fewshot_config", "num_fewshot",
        "metric_list", "output_type", "generation_kwargs", "repeats", "filter_list", "task",
    ]
    /// Keys without an effect on prompts and scores.
    private static let idle = [
        "task_alias", "tag", "group", "group_alias", "dataset_name", "should_decontaminate", "doc_to_decontamination_query",
        "metadata", "unsafe_code",
    ]

    /// Reads the file at `path` and its included files; its own keys override theirs.
    ///
    /// Throws `FileError`, or ``ScoringError/file(_:line:reason:)``.
    init(path: String) throws {
        var files: [String] = []
        values = try Self.values(path, &files)
        (self.path, self.files) = (path, files)
        for (key, value) in values.sorted(by: { $0.key < $1.key }) where value != .null {
            if Self.read.contains(key) || Self.idle.contains(key) { continue }
            throw refused("'\(key)' is not among the keys that kvlab reads: \(Self.read.sorted().joined(separator: ", "))")
        }
        if let count = values["repeats"]?.int, count != 1 {
            throw refused("'repeats' is \(count), expected 1: outputs are greedy")
        }
    }

    /// A task file made of `values`, of which the file at `path` has the texts.
    init(path: String, values: [String: JSONValue]) { (self.path, files, self.values) = (path, [path], values) }

    private static func values(_ path: String, _ files: inout [String]) throws -> [String: JSONValue] {
        guard !files.contains(path) else { throw ScoringError.file(path, line: 1, reason: "includes itself") }
        files.append(path)
        guard let members = try YAMLFile.read(path).members else {
            throw ScoringError.file(path, line: 1, reason: "expected keys and values")
        }
        var (merged, own): ([String: JSONValue], [String: JSONValue]) = ([:], [:])
        for member in members { own[member.name] = member.value }
        if let include = own.removeValue(forKey: "include"), include != .null {
            guard let names = (include.array ?? [include]).map(\.string) as? [String] else {
                throw ScoringError.file(path, line: 1, reason: "'include' is no file name, and no list of them")
            }
            for name in names {
                let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path
                var included = try values(name.hasPrefix("/") ? name : folder + "/" + name, &files)
                included["task_list"] = nil
                merged.merge(included) { $1 }
            }
        }
        return merged.merging(own) { $1 }
    }

    /// An error about the file.
    func refused(_ reason: String) -> ScoringError { .file(path, line: 1, reason: reason) }

    /// The value at `key`; nil where it is absent or null.
    subscript(key: String) -> JSONValue? { values[key].flatMap { $0 == .null ? nil : $0 } }

    /// The string at `key`; nil where it is absent.
    func text(_ key: String) throws(ScoringError) -> String? {
        guard let value = self[key] else { return nil }
        guard let text = value.string else { throw refused("'\(key)' is no string") }
        return text
    }
}
