import Foundation

/// RULER (Hsieh et al. 2024): the files that its generators write, prompts with the beginning of the answer appended, or prompts made here.
public struct RULERTask: GenerationTask {
    private enum Source {
        case files([Record])
        case maker(RULERMaker)
    }

    private struct Record {
        var task: String
        var length: Int?
        var number: Int
        var prompt: String
        var outputs: [String]
    }

    /// The names of the thirteen tasks.
    public static let tasks = RULER.tokens.map(\.key)

    /// A task's file and the length in its name.
    private struct DataFile {
        var task: String
        var length: Int?
        var path: String
    }

    private let source: Source
    private let described: [String: String]
    private let maxTokens: Int?
    public let files: [String]

    /// Reads the files of `tasks`, nil for all there are, in the folder `data`: `TASK/validation.jsonl`, as RULER writes them, `TASK.jsonl` or
    /// `TASK-LENGTH.jsonl`; the first `limit` records of each. `maxTokens` replaces the tasks' own most tokens to generate.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(tasks: [String]?, data: String, limit: Int? = nil, maxTokens: Int? = nil) throws {
        let found = Self.files(data)
        let wanted = tasks ?? Self.tasks.filter { task in found.contains { $0.task == task } }
        if let missing = wanted.first(where: { task in !found.contains { $0.task == task } })
            ?? (wanted.isEmpty ? Self.tasks[0] : nil)
        {
            throw ScoringError.file(
                data, line: 1,
                reason: "no file \(missing)/validation.jsonl, \(missing).jsonl or \(missing)-LENGTH.jsonl in this folder")
        }
        for (index, file) in found.enumerated() where wanted.contains(file.task) {
            if let other = found[..<index].first(where: { ($0.task, $0.length ?? 0) == (file.task, file.length ?? 0) }) {
                throw ScoringError.file(file.path, line: 1, reason: "a second file of '\(file.task)' beside \(other.path)")
            }
        }
        let read = wanted.flatMap { task in found.filter { $0.task == task } }
        let records = try read.flatMap { file in
            try DataRecord.lines(file.path).prefix(limit ?? .max).enumerated().map { number, line in
                let outputs = try line.texts("outputs")
                guard !outputs.isEmpty else { throw line.refused("'outputs' is empty") }
                let prefix = line.json["answer_prefix"] == nil ? "" : try line.text("answer_prefix")
                return Record(
                    task: file.task, length: file.length, number: number, prompt: try line.text("input") + prefix,
                    outputs: outputs)
            }
        }
        var described = ["tasks": wanted.joined(separator: ",")]
        if let limit { described["limit"] = "\(limit)" }
        self.init(.files(records), described, files: read.map(\.path), maxTokens: maxTokens)
    }

    /// Makes prompts by `maker`; `maxTokens` replaces the tasks' own most tokens to generate, for which a length leaves room.
    public init(making maker: RULERMaker, maxTokens: Int? = nil) {
        self.init(.maker(maker), maker.options, files: maker.files, maxTokens: maxTokens)
    }

    private init(_ source: Source, _ described: [String: String], files: [String], maxTokens: Int?) {
        (self.source, self.files, self.maxTokens) = (source, files, maxTokens)
        self.described = described.merging(maxTokens.map { ["max-new": "\($0)"] } ?? [:]) { $1 }
    }

    /// The files of tasks in a folder, by length.
    private static func files(_ data: String) -> [DataFile] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: data)) ?? []
        return names.compactMap { name -> DataFile? in
            if tasks.contains(name), FileManager.default.fileExists(atPath: "\(data)/\(name)/validation.jsonl") {
                return DataFile(task: name, path: "\(data)/\(name)/validation.jsonl")
            }
            guard name.hasSuffix(".jsonl") else { return nil }
            let parts = name.dropLast(".jsonl".count).split(separator: "-", omittingEmptySubsequences: false)
            guard let task = parts.first.map(String.init), tasks.contains(task), parts.count <= 2 else { return nil }
            let length = parts.count == 2 ? Int(parts[1]) : nil
            guard parts.count == 1 || length != nil else { return nil }
            return DataFile(task: task, length: length, path: "\(data)/\(name)")
        }.sorted { ($0.length ?? 0, $0.path) < ($1.length ?? 0, $1.path) }
    }

    public var name: String { "ruler" }

    public var options: [String: String] { described }

    public var count: Int {
        switch source {
        case .files(let records): records.count
        case .maker(let maker): maker.count
        }
    }

    /// The most tokens that a task generates.
    private func newTokens(_ task: String) -> Int {
        guard let own = RULER.tokens.first(where: { $0.key == task })?.value else {
            preconditionFailure("RULERTask: no task '\(task)'")
        }
        return maxTokens ?? own
    }

    private func records(_ encoder: PromptEncoder) throws -> [Record] {
        switch source {
        case .files(let records): return records
        case .maker(let maker):
            var numbers: [String: Int] = [:]
            return try maker.prompts(encoder, newTokens: newTokens).map { task, length, prompt in
                let number = numbers["\(length)/\(task)", default: 0]
                numbers["\(length)/\(task)"] = number + 1
                return Record(task: task, length: length, number: number, prompt: prompt.text, outputs: prompt.outputs)
            }
        }
    }

    public func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
        try records(encoder).map { record in
            guard let rule = ScoringTask.named("ruler:" + record.task, isDataset: false) else {
                preconditionFailure("RULERTask: no task '\(record.task)'")
            }
            // The question is the prompt's last line, the beginning of the answer behind it.
            let question = record.prompt.utf8.reversed().prefix { $0 != UInt8(ascii: "\n") }.count
            let id = "ruler/\(record.length.map { "\($0)/" } ?? "")\(record.task)/\(record.number)"
            // In a chat the answer's beginning is the user's too.
            let encoded = try encoder.encoded(record.prompt, questionBytes: question, id: id)
            return GenerationExample(
                id: id, group: ExampleGroup(dataset: record.task, length: record.length), prompt: encoded.text,
                tokens: encoded.tokens, contextTokens: encoded.contextTokens, maxTokens: newTokens(record.task),
                references: record.outputs, stops: encoded.stops, task: rule)
        }
    }
}
