import JSON

/// LongBench's data sets as prompts (Bai et al. 2023): records from its JSON Lines files, prompts and numbers of new tokens from
/// its own `config` folder, which is not copied here.
public struct LongBenchData: GenerationTask {
    /// A record of a data set.
    private struct Record {
        var dataset: String
        /// The record's `_id`, or its place in the file.
        var id: String
        var prompt: String
        /// Bytes of the prompt behind its context.
        var questionBytes: Int
        var answers: [String]
        var classes: [String]
        var maxTokens: Int
        var task: ScoringTask
        /// LongBench-E's group of lengths; nil for the other data sets.
        var words: String?
    }

    /// The options of prompts and scores.
    public struct Options: Sendable {
        /// Tokens of a prompt; longer ones are cut in their middle.
        public var maxLength: Int
        /// The first so many records of each data set; nil for all.
        public var limit: Int?
        /// The most tokens to generate; nil for each data set's own number.
        public var maxTokens: Int?
        /// The rule for lines of code, of which the records' scores are.
        public var lineSimilarity: LineSimilarity

        /// Options; by default prompts of at most 3500 tokens.
        public init(
            maxLength: Int = 3500, limit: Int? = nil, maxTokens: Int? = nil, lineSimilarity: LineSimilarity = .difflib
        ) {
            (self.maxLength, self.limit, self.maxTokens) = (maxLength, limit, maxTokens)
            self.lineSimilarity = lineSimilarity
        }
    }

    private let datasets: [String]
    private let records: [Record]
    private let how: Options
    public let files: [String]

    /// The data sets that LongBench names.
    public static let datasets = LongBench.tasks.map(\.name) + LongBench.extended.map { $0 + "_e" }

    /// Reads `datasets` from the files `DATASET.jsonl` of the folder `data`, and their prompts and numbers of new tokens from
    /// `dataset2prompt.json` and `dataset2maxlen.json` in the folder `config`.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(datasets: [String], data: String, config: String, _ options: Options = Options()) throws {
        func object(_ name: String) throws -> (path: String, value: JSONValue) {
            let path = config + "/" + name
            return (path, try JSONValue(path: path, limit: 1 << 24))
        }
        let (prompts, lengths) = (try object("dataset2prompt.json"), try object("dataset2maxlen.json"))
        var (records, files): ([Record], [String]) = ([], [])
        for dataset in datasets {
            // LongBench-E has the prompts of the data sets that it extends.
            let isExtended = dataset.hasSuffix("_e")
            let name = isExtended ? String(dataset.dropLast(2)) : dataset
            guard let text = prompts.value[name]?.string, let task = ScoringTask.named(name, isDataset: true) else {
                throw ScoringError.file(prompts.path, line: 1, reason: "no prompt for '\(name)'")
            }
            let template: PromptTemplate
            do throws(Fault) { template = try PromptTemplate(text) } catch {
                throw ScoringError.file(prompts.path, line: 1, reason: "the prompt for '\(name)' has \(error.reason)")
            }
            guard let count = lengths.value[name]?.int, (1...1 << 20).contains(count) else {
                throw ScoringError.file(lengths.path, line: 1, reason: "no number of new tokens for '\(name)'")
            }
            files.append("\(data)/\(dataset).jsonl")
            for (index, line) in try DataRecord.lines(files[files.count - 1]).prefix(options.limit ?? .max).enumerated() {
                let prompt = try Self.prompt(line, template, name)
                if isExtended, line.json["length"]?.int == nil {
                    throw line.refused("no whole number 'length', by which LongBench-E groups")
                }
                records.append(
                    Record(
                        dataset: dataset, id: "\(index)/\(line.json["_id"]?.string ?? "\(index)")", prompt: prompt.text,
                        questionBytes: prompt.bytesBehind, answers: try line.texts("answers"),
                        classes: line.json["all_classes"] == nil ? [] : try line.texts("all_classes"), maxTokens: count,
                        task: task, words: isExtended ? line.json["length"]?.int.map(LongBench.group) : nil))
            }
        }
        (self.datasets, self.records, how) = (datasets, records, options)
        self.files = files + [prompts.path, lengths.path]
    }

    private static func prompt(
        _ line: DataRecord, _ template: PromptTemplate, _ dataset: String
    ) throws(ScoringError) -> (text: String, bytesBehind: Int) {
        do throws(Fault) {
            return try template.filled(behind: "context") { name throws(Fault) in
                guard let value = line.json[name]?.string ?? line.json[name]?.int.map({ "\($0)" }) else {
                    throw .init(reason: "'\(name)' is missing, which the prompt of '\(dataset)' has a place for")
                }
                return value
            }
        } catch { throw line.refused(error.reason) }
    }

    public var name: String { "longbench" }

    public var count: Int { records.count }

    public var options: [String: String] {
        var options = [
            "tasks": datasets.joined(separator: ","), "max-length": "\(how.maxLength)",
            "line-similarity": how.lineSimilarity.rawValue,
        ]
        if let limit = how.limit { options["limit"] = "\(limit)" }
        if let maxTokens = how.maxTokens { options["max-new"] = "\(maxTokens)" }
        return options
    }

    /// The examples, prompts of too many tokens cut in their middle.
    public func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
        try records.map { record in
            let prompt = MiddleTruncation.truncated(record.prompt, to: how.maxLength, encoder.tokenizer)
            let id = "longbench/\(record.dataset)/\(record.id)"
            let encoded = try encoder.encoded(
                prompt, questionBytes: record.questionBytes, id: id, isChat: LongBench.isChat(record.task.name))
            var example = GenerationExample(
                id: id, group: ExampleGroup(dataset: record.dataset, words: record.words), prompt: encoded.text,
                tokens: encoded.tokens, contextTokens: encoded.contextTokens, maxTokens: how.maxTokens ?? record.maxTokens,
                references: record.answers, classes: record.classes, stops: encoded.stops, task: record.task)
            // samsum ends at the last token of a newline, which a `min_length` of one token forbids as the first.
            if record.task.name == "samsum" { example.laterStopIDs = Set(encoder.tokenizer.encode("\n").suffix(1)) }
            return example
        }
    }

    /// Whether the scores of `datasets` need jieba's tables.
    public static func needsJieba(_ datasets: [String]) -> Bool { datasets.contains(where: LongBench.isChinese) }
}
