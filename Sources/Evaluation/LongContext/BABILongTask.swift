/// BABILong (Kuratov et al. 2024): bAbI's questions about facts that lie scattered in a long text, from its data files or made here.
public struct BABILongTask: GenerationTask {
    /// The options of examples.
    public struct Options: Sendable {
        /// Whether instruction, examples and post-prompt are left out, as the authors do for base models.
        public var isBare: Bool
        /// The first so many samples of each task and length; nil for all.
        public var limit: Int?
        /// The most tokens to generate.
        public var maxTokens: Int

        /// Options; by default those of instruction-tuned models, over all samples.
        public init(isBare: Bool = false, limit: Int? = nil, maxTokens: Int = 20) {
            (self.isBare, self.limit, self.maxTokens) = (isBare, limit, maxTokens)
        }
    }

    /// A sample of a task at a length.
    struct Sample: Equatable {
        var task: String
        /// The length's name, such as 1k.
        var length: String
        var context: String
        var question: String
        var target: String
    }

    private enum Source {
        case files([Sample])
        case maker(BABILongMaker)
    }

    /// The names of the twenty tasks.
    public static let tasks = BABILong.tasks.map { String($0.name.dropFirst("babilong:".count)) }

    private let source: Source
    private let prompts: BABILongPrompts
    private let how: Options
    private let described: [String: String]
    public let files: [String]

    /// The tokens that a length's name stands for: 0k, 1k, 128k, 1M; nil for other names.
    public static func tokens(_ length: String) -> Int? {
        let unit = ["k": 1000, "M": 1_000_000][length.last ?? " "]
        guard let unit, let count = Int(length.dropLast()), (0...100_000).contains(count), "\(count)" == length.dropLast() else {
            return nil
        }
        return count * unit
    }

    /// Reads samples from the files `LENGTH/TASK.json` of the folder `data`, a list of objects with `input`, `question` and `target`.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(
        tasks: [String], lengths: [String], data: String, prompts: BABILongPrompts, _ options: Options = Options()
    ) throws {
        var (samples, files): ([Sample], [String]) = ([], [])
        for length in lengths {
            for task in tasks {
                files.append("\(data)/\(length)/\(task).json")
                for record in try DataRecord.elements(files[files.count - 1]).prefix(options.limit ?? .max) {
                    samples.append(
                        Sample(
                            task: task, length: length, context: try record.text("input"),
                            question: try record.text("question"), target: try record.text("target")))
                }
            }
        }
        self.init(.files(samples), tasks, lengths, prompts, options, files, [:])
    }

    /// Makes samples by `maker`, so many as the options' limit has for each task and length.
    public init(
        tasks: [String], lengths: [String], making maker: BABILongMaker, prompts: BABILongPrompts, _ options: Options
    ) {
        self.init(.maker(maker), tasks, lengths, prompts, options, maker.files, ["seed": "\(maker.seed)"])
    }

    private let tasks: [String], lengths: [String]

    private init(
        _ source: Source, _ tasks: [String], _ lengths: [String], _ prompts: BABILongPrompts, _ options: Options,
        _ files: [String], _ more: [String: String]
    ) {
        (self.source, self.tasks, self.lengths, self.prompts, how) = (source, tasks, lengths, prompts, options)
        self.files = files + [prompts.path]
        var described = [
            "tasks": tasks.joined(separator: ","), "lengths": lengths.joined(separator: ","), "bare": "\(options.isBare)",
            "max-new": "\(options.maxTokens)",
        ]
        if let limit = options.limit { described["limit"] = "\(limit)" }
        self.described = described.merging(more) { $1 }
    }

    public var name: String { "babilong" }

    public var options: [String: String] { described }

    public var count: Int {
        switch source {
        case .files(let samples): samples.count
        case .maker(let maker):
            lengths.reduce(0) { sum, length in sum + tasks.reduce(0) { $0 + maker.count($1, length, how.limit) } }
        }
    }

    public func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
        let samples: [Sample]
        switch source {
        case .files(let read): samples = read
        case .maker(let maker): samples = try maker.samples(tasks, lengths, limit: how.limit, encoder)
        }
        var numbers: [String: Int] = [:]
        return try samples.map { sample in
            guard let rule = ScoringTask.named("babilong:" + sample.task, isDataset: false) else {
                preconditionFailure("BABILongTask: no task '\(sample.task)'")
            }
            let prompt = try prompts.prompt(
                sample.task, context: sample.context, question: sample.question, isBare: how.isBare)
            let place = "babilong/\(sample.length)/\(sample.task)"
            let number = numbers[place, default: 0]
            numbers[place] = number + 1
            let id = "\(place)/\(number)"
            let encoded = try encoder.encoded(prompt.text, questionBytes: prompt.bytesBehind, id: id)
            return GenerationExample(
                id: id, group: ExampleGroup(dataset: sample.task, length: Self.tokens(sample.length)), prompt: encoded.text,
                tokens: encoded.tokens, contextTokens: encoded.contextTokens, maxTokens: how.maxTokens,
                references: [sample.target], question: sample.question, stops: encoded.stops, task: rule)
        }
    }
}
