import Foundation
import JSON

/// A task of lm-evaluation-harness, from its own task file and local data: prompts, examples, filters and metrics as the harness has them (0.4.13).
///
/// Generated outputs (`generate_until`) are a ``GenerationTask``; choices (`multiple_choice`) are scored by likelihood, see ``choices()``.
/// Few-shot examples are drawn as the harness draws them with its seed, 1234, or the first ones with `sampler: first_n`.
public struct HarnessTask: GenerationTask {
    /// Settings of a task in place of its file's.
    public struct Options: Sendable {
        /// Files of splits, by their names; the evaluated split's has the name "".
        public var data: [String: String]
        /// Few-shot examples; nil for the file's number.
        public var shots: Int?
        /// The first so many documents; nil for all.
        public var limit: Int?
        /// The most tokens to generate; nil for the file's number.
        public var maxTokens: Int?
        /// Whether each few-shot example is a user's and an assistant's turn of the chat template.
        public var isMultiTurn: Bool

        /// Settings; by default the file's own.
        public init(
            data: [String: String] = [:], shots: Int? = nil, limit: Int? = nil, maxTokens: Int? = nil, isMultiTurn: Bool = false
        ) {
            (self.data, self.shots, self.limit, self.maxTokens) = (data, shots, limit, maxTokens)
            self.isMultiTurn = isMultiTurn
        }
    }

    /// The form of a task: outputs that are generated, or choices scored by likelihood.
    public enum Kind: Sendable { case generation, choice }

    /// The task's name in its file, or the file's.
    public let name: String
    /// The task's form.
    public let kind: Kind
    /// The filters and metrics of generated outputs; nil for choices.
    public let scoring: HarnessScoring?
    /// The names of the metrics.
    public let metrics: [String]
    public let files: [String]

    private let prompter: HarnessPrompter
    private let docs: [DataRecord]
    private let stops: [String]
    private let maxTokens: Int
    private let how: Options

    /// Reads the task file at `path`, its included files and its data.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(path: String, _ options: Options = Options()) throws {
        try self.init(HarnessFile(path: path), options)
    }

    /// The task of a file that was read.
    init(_ file: HarnessFile, _ options: Options) throws {
        name = try file.text("task") ?? URL(fileURLWithPath: file.path).deletingPathExtension().lastPathComponent
        let output = try file.text("output_type") ?? "generate_until"
        switch output {
        case "generate_until": kind = .generation
        case "multiple_choice": kind = .choice
        default: throw file.refused("'output_type' is '\(output)', expected generate_until or multiple_choice")
        }
        var data = HarnessData(file, options.data)
        guard let split = try file.text("test_split") ?? file.text("validation_split") else {
            throw file.refused("neither 'test_split' nor 'validation_split'")
        }
        let docs = try data.docs(split, isEvaluated: true)
        self.docs = Array(docs.prefix(options.limit ?? .max))
        prompter = try HarnessPrompter(file, kind: kind, split: split, docs: docs, data: &data, shots: options.shots)
        (stops, maxTokens) = try Self.generation(file)
        if kind == .generation {
            do throws(Fault) {
                scoring = try HarnessScoring(
                    filters: file["filter_list"],
                    metrics: file["metric_list"] ?? .array([.object(["metric": .text("exact_match")])]))
            } catch { throw file.refused(error.reason) }
            metrics = ["exact_match"]
        } else {
            scoring = nil
            metrics = try Self.choiceMetrics(file)
        }
        how = options
        files = file.files + data.files
    }

    /// The stop strings and the most tokens of `generation_kwargs`.
    private static func generation(_ file: HarnessFile) throws(ScoringError) -> (stops: [String], maxTokens: Int) {
        let delimiter = try file.text("fewshot_delimiter") ?? "\n\n"
        var (stops, count) = ([delimiter], 256)
        guard let settings = file["generation_kwargs"] else { return (stops, count) }
        guard let members = settings.members else { throw file.refused("'generation_kwargs' has no keys") }
        for member in members where member.value != .null {
            switch member.name {
            case "until":
                guard let texts = (member.value.array ?? [member.value]).map(\.string) as? [String] else {
                    throw file.refused("'until' is no string, and no list of them")
                }
                stops = texts.filter { !$0.isEmpty }
            case "max_gen_toks", "max_new_tokens", "max_tokens":
                guard let value = member.value.int, (1...1 << 20).contains(value) else {
                    throw file.refused("'\(member.name)' is no number of tokens")
                }
                count = value
            case "do_sample":
                guard member.value.bool == false else { throw file.refused("'do_sample' is not false: outputs are greedy") }
            case "temperature":
                guard member.value.double == 0 else { throw file.refused("'temperature' is not 0: outputs are greedy") }
            default: throw file.refused("'generation_kwargs' has '\(member.name)', which kvlab does not know")
            }
        }
        return (stops, count)
    }

    private static func choiceMetrics(_ file: HarnessFile) throws(ScoringError) -> [String] {
        let known = ["acc", "acc_norm", "acc_bytes", "exact_match", "f1"]
        if let filters = file["filter_list"] {
            throw file.refused("'filter_list' of a multiple choice is \(filters.text.prefix(60))")
        }
        guard let list = file["metric_list"] else { return ["acc", "acc_norm"] }
        var names: [String] = []
        for one in list.array ?? [] {
            guard let name = one["metric"]?.string, known.contains(name) else {
                throw file.refused(
                    "'metric_list' has '\(one["metric"]?.string ?? "?")', expected \(known.joined(separator: ", "))")
            }
            let aggregation = one["aggregation"]?.string ?? (name == "f1" ? "f1" : "mean")
            guard aggregation == (name == "f1" ? "f1" : "mean") else {
                throw file.refused("the aggregation of '\(name)' is '\(aggregation)', expected \(name == "f1" ? "f1" : "mean")")
            }
            names.append(name)
        }
        guard !names.isEmpty else { throw file.refused("'metric_list' is no list of metrics") }
        return names
    }

    public var count: Int { docs.count }

    public var options: [String: String] {
        var options = ["shots": "\(prompter.shots)", "max-new": "\(how.maxTokens ?? maxTokens)"]
        if let limit = how.limit { options["limit"] = "\(limit)" }
        if how.isMultiTurn { options["multi-turn"] = "true" }
        if let scoring { options["scoring"] = scoring.source }
        return options
    }

    /// Whether something precedes the questions: a description or few-shot examples.
    public var hasContext: Bool { prompter.hasContext }

    /// The prompts of the documents as plain text, with the bytes of the question at each one's end.
    func prompts() throws(ScoringError) -> [(text: String, questionBytes: Int)] {
        var sampler = prompter.sampler
        var prompts: [(text: String, questionBytes: Int)] = []
        for doc in docs { prompts.append(try prompter.prompt(doc, &sampler)) }
        return prompts
    }

    public func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
        var sampler = prompter.sampler
        return try docs.enumerated().map { index, doc in
            let id = "\(name)/\(index)"
            let prompt: PromptEncoder.Encoded
            if encoder.chat != nil {
                let (turns, bytes) = try prompter.turns(doc, &sampler, isMultiTurn: how.isMultiTurn)
                prompt = try encoder.encoded(turns, questionBytes: bytes, id: id)
            } else {
                let (text, bytes) = try prompter.prompt(doc, &sampler)
                prompt = try encoder.encoded(text, questionBytes: bytes, id: id)
            }
            return GenerationExample(
                id: id, group: ExampleGroup(), prompt: prompt.text, tokens: prompt.tokens, contextTokens: prompt.contextTokens,
                maxTokens: how.maxTokens ?? maxTokens, references: try prompter.references(doc), stops: stops + prompt.stops,
                task: .harness)
        }
    }

    /// The documents of a multiple choice as items that ``ChoiceScore`` scores.
    public func choices() throws(ScoringError) -> [ChoiceItem] {
        let prompts = try prompts()
        var items: [ChoiceItem] = []
        for (doc, prompt) in zip(docs, prompts) {
            let choices = try prompter.choices(doc)
            items.append(
                ChoiceItem(
                    context: prompt.text, choices: choices.map { prompter.delimiter + $0 },
                    answer: try prompter.answer(doc, choices), names: choices,
                    promptBytes: prompt.text.utf8.count - prompt.questionBytes))
        }
        return items
    }
}
