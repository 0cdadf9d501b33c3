import Files
import JSON
import Text

/// LongBench's data sets as prompts (Bai et al. 2023): records from its JSON Lines files, prompts and numbers of new tokens from
/// its own `config` folder, which is not copied here.
///
/// Departure from `pred.py`: no chat template is put around a prompt, and samsum's outputs end at their length, as a first newline is
/// not forbidden; its first line alone is scored all the same.
public struct LongBenchData: Sendable {
    private let templates: [String: PromptTemplate]
    private let maxTokens: [String: Int]
    /// Files of data by data set, in the order asked for.
    private let files: [(dataset: String, path: String)]

    /// The data sets that LongBench names.
    public static let datasets = LongBench.tasks.map(\.name)

    /// Reads `dataset2prompt.json` and `dataset2maxlen.json` in the folder `config` for `datasets`, whose records are in the files
    /// `DATASET.jsonl` of the folder `data`.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(datasets: [String], data: String, config: String) throws {
        func object(_ name: String) throws -> (path: String, value: JSONValue) {
            let path = config + "/" + name
            let bytes = try RegularFile.contents(path, links: .followed, limit: 1 << 24)
            do throws(JSONError) { return (path, try JSONValue(parsing: bytes)) } catch {
                throw ScoringError.file(path, line: error.position(in: bytes).line, reason: error.reason)
            }
        }
        let (prompts, lengths) = (try object("dataset2prompt.json"), try object("dataset2maxlen.json"))
        var (templates, maxTokens): ([String: PromptTemplate], [String: Int]) = ([:], [:])
        for dataset in datasets {
            guard let text = prompts.value[dataset]?.string else {
                throw ScoringError.file(prompts.path, line: 1, reason: "no prompt for '\(dataset)'")
            }
            do throws(PromptTemplate.Fault) { templates[dataset] = try PromptTemplate(text) } catch {
                throw ScoringError.file(prompts.path, line: 1, reason: "the prompt for '\(dataset)' has \(error.reason)")
            }
            guard let count = lengths.value[dataset]?.int, (1...1 << 20).contains(count) else {
                throw ScoringError.file(lengths.path, line: 1, reason: "no number of new tokens for '\(dataset)'")
            }
            maxTokens[dataset] = count
        }
        (self.templates, self.maxTokens) = (templates, maxTokens)
        files = datasets.map { ($0, "\(data)/\($0).jsonl") }
    }

    /// A line of a data set's file.
    struct Record {
        /// The record's `_id`, or its place in the file.
        var id: String
        var prompt: String
        /// Bytes of the prompt behind its context.
        var questionBytes: Int
        var answers: [String]
        var classes: [String]
    }

    /// The number of examples, of the first so many records of each data set.
    public func count(first: Int? = nil) throws -> Int {
        try files.reduce(0) { $0 + min(first ?? .max, try records($1.dataset, $1.path).count) }
    }

    /// The records of a data set.
    func records(_ dataset: String, _ path: String) throws -> [Record] {
        guard let template = templates[dataset] else { return [] }
        let bytes = try RegularFile.contents(path, links: .followed)
        var records: [Record] = []
        for (index, line) in bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).enumerated() {
            if line.allSatisfy({ [0x20, 0x09, 0x0D].contains($0) }) { continue }
            func refused(_ reason: String) -> ScoringError { .file(path, line: index + 1, reason: reason) }
            let json: JSONValue
            do throws(JSONError) { json = try JSONValue(parsing: Array(line)) } catch {
                throw refused("not valid JSON: \(error)")
            }
            func texts(_ key: String) throws -> [String] {
                guard let texts = json[key]?.array?.map(\.string) as? [String] else {
                    throw refused(json[key] == nil ? "'\(key)' is missing" : "'\(key)' is no list of strings")
                }
                return texts
            }
            let prompt: (text: String, bytesBehind: Int)
            do throws(PromptTemplate.Fault) {
                prompt = try template.filled(behind: "context") { name throws(PromptTemplate.Fault) in
                    guard let value = json[name]?.string ?? json[name]?.int.map({ "\($0)" }) else {
                        throw .init(reason: "'\(name)' is missing, which the prompt of '\(dataset)' has a place for")
                    }
                    return value
                }
            } catch { throw refused(error.reason) }
            records.append(
                Record(
                    id: json["_id"]?.string ?? "\(records.count)", prompt: prompt.text, questionBytes: prompt.bytesBehind,
                    answers: try texts("answers"),
                    classes: json["all_classes"] == nil ? [] : try texts("all_classes")))
        }
        guard !records.isEmpty else {
            throw ScoringError.file(path, line: 1, reason: "no records; a JSON object a line is expected")
        }
        return records
    }

    /// The examples for a tokenizer, prompts of more than `limit` tokens cut in their middle; the first so many of each data set.
    public func examples(_ tokenizer: any Tokenizer, bosID: Int32?, limit: Int, first: Int? = nil) throws -> [GenerationExample] {
        try files.flatMap { dataset, path -> [GenerationExample] in
            guard let task = ScoringTask.named(dataset, isDataset: true), let maxTokens = maxTokens[dataset] else { return [] }
            return try records(dataset, path).prefix(first ?? .max).enumerated().map { index, record in
                let prompt = MiddleTruncation.truncated(record.prompt, to: limit, tokenizer)
                let tokens = (bosID.map { [$0] } ?? []) + tokenizer.encode(prompt)
                return GenerationExample(
                    id: "longbench/\(dataset)/\(index)/\(record.id)", group: ExampleGroup(dataset: dataset), prompt: prompt,
                    tokens: tokens,
                    contextTokens: GenerationExample.tokensBefore(suffix: record.questionBytes, of: tokens, tokenizer),
                    maxTokens: maxTokens,
                    references: record.answers, classes: record.classes, task: task)
            }
        }
    }

    /// Whether scoring needs jieba's tables.
    public var needsJieba: Bool { files.contains { LongBench.isChinese($0.dataset) } }
}
