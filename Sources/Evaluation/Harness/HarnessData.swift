import Files
import Foundation
import JSON

/// The local data of a task file: the splits of `dataset_kwargs`' `data_files`, or files named by the user.
struct HarnessData {
    private let file: HarnessFile
    private let named: [String: String]
    /// The files read.
    private(set) var files: [String] = []

    /// `named` are the user's files by split, that of the evaluated split under "".
    init(_ file: HarnessFile, _ named: [String: String]) { (self.file, self.named) = (file, named) }

    /// The documents of a split.
    mutating func docs(_ split: String, isEvaluated: Bool = false) throws -> [DataRecord] {
        if let path = named[split] ?? (isEvaluated ? named[""] : nil) { return try read([path]) }
        let dataset = try file.text("dataset_path")
        guard dataset == "json", let given = file["dataset_kwargs"]?["data_files"] else {
            throw file.refused(
                "the data '\(dataset ?? "")' of the split '\(split)' is not local; name a JSON or JSON Lines file with --data \(split)=FILE"
            )
        }
        for member in file["dataset_kwargs"]?.members ?? [] where member.name != "data_files" {
            throw file.refused("'dataset_kwargs' has '\(member.name)', expected data_files alone")
        }
        // A file, or a list of them, is the split "train".
        guard let value = given.members == nil ? (split == "train" ? given : nil) : given[split],
            let names = (value.array ?? [value]).map(\.string) as? [String], !names.isEmpty
        else { throw file.refused("'data_files' has no files of the split '\(split)'") }
        return try read(names.map(located))
    }

    /// A file's path: from the working directory, as the harness reads it, or else beside the task file.
    private func located(_ name: String) -> String {
        if name.hasPrefix("/") || FileManager.default.fileExists(atPath: name) { return name }
        return URL(fileURLWithPath: file.path).deletingLastPathComponent().path + "/" + name
    }

    private mutating func read(_ paths: [String]) throws -> [DataRecord] {
        for path in paths where !files.contains(path) { files.append(path) }
        return try paths.flatMap { path in
            let start = try RegularFile.contents(path, links: .followed).first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
            return try start == UInt8(ascii: "[") ? DataRecord.elements(path) : DataRecord.lines(path)
        }
    }
}
