import Files

/// LongBench v2 as prompts (Bai et al. 2024): records from its `data.json`, prompts from its own `prompts` folder, which is not copied here.
///
/// With a chain of thought each record is two examples: the reasoning, which has no score, and a second prompt with the reasoning in place of
/// the text, whose output is scored.
///
/// Departures from `pred.py`: decoding is greedy (there the temperature is 0.1), an empty output counts as wrong instead of being left out, and
/// `--rag` and `--no_context` are not offered.
public struct LongBench2Data: GenerationTask {
    /// A template, cut where the text stands.
    private struct Template {
        var before: PythonText
        /// The part behind the text; nil where the template has no place for it.
        var behind: PythonText?
    }

    private struct Field {
        var place: PythonText
        var text: PythonText

        init(_ place: String, _ text: PythonText) { (self.place, self.text) = (PythonText(place), text) }
    }

    private struct Record {
        var id: String
        var group: ExampleGroup
        /// The text between the prompt's parts, without white space at its ends.
        var context: PythonText
        /// The question and the choices by their places in templates, in the order in which these are filled.
        var fields: [Field]
        var answer: String
    }

    /// The options of prompts.
    public struct Options: Sendable {
        /// Tokens of a prompt; longer ones are cut in their middle.
        public var maxLength: Int
        /// The first so many records; nil for all.
        public var limit: Int?
        /// The most tokens to generate; nil for the authors' 128, and 1,024 of reasoning.
        public var maxTokens: Int?
        /// Whether the model reasons before it answers.
        public var isReasoned: Bool

        /// Options; by default prompts of at most 120,000 tokens, as the authors cut them for most models, answered at once.
        public init(maxLength: Int = 120_000, limit: Int? = nil, maxTokens: Int? = nil, isReasoned: Bool = false) {
            (self.maxLength, self.limit, self.maxTokens, self.isReasoned) = (maxLength, limit, maxTokens, isReasoned)
        }
    }

    private let records: [Record]
    private let first: Template
    /// The prompt behind a reasoning; nil without one.
    private let second: Template?
    private let how: Options
    public let files: [String]

    private static let letters = ["A", "B", "C", "D"]
    private static let contextPlace = "$DOC$"
    private static let reasoningPlace = "$COT$"

    /// Reads records from the file `data`, a JSON list, and templates from the folder `prompts`: `0shot.txt`, or `0shot_cot.txt` and
    /// `0shot_cot_ans.txt` for a chain of thought.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(data: String, prompts: String, _ options: Options = Options()) throws {
        let names = options.isReasoned ? ["0shot_cot.txt", "0shot_cot_ans.txt"] : ["0shot.txt"]
        let paths = names.map { "\(prompts)/\($0)" }
        first = try Self.template(paths[0], needed: [Self.contextPlace])
        second = options.isReasoned ? try Self.template(paths[1], needed: [Self.reasoningPlace]) : nil
        var ids: Set<String> = []
        records = try DataRecord.elements(data).prefix(options.limit ?? .max).map { record in
            let one = try Self.record(record)
            guard ids.insert(one.id).inserted else { throw record.refused("a second record with the _id '\(one.id)'") }
            return one
        }
        (how, files) = (options, [data] + paths)
    }

    private static func template(_ path: String, needed: [String]) throws -> Template {
        let bytes = try RegularFile.contents(path, links: .followed, limit: 1 << 24)
        guard let text = String(validating: bytes, as: UTF8.self) else {
            throw ScoringError.file(path, line: 1, reason: "not UTF-8")
        }
        for place in needed + ["$Q$"] + letters.map({ "$C_\($0)$" }) where !text.contains(place) {
            throw ScoringError.file(path, line: 1, reason: "no place '\(place)', as LongBench v2's prompts have")
        }
        let (scalars, place) = (PythonText(text), PythonText(contextPlace))
        guard let index = scalars.firstIndex(of: place) else { return Template(before: scalars) }
        let behind = PythonText(scalars: scalars.scalars[(index + place.count)...])
        guard !behind.contains(place) else {
            throw ScoringError.file(path, line: 1, reason: "the place '\(contextPlace)' twice")
        }
        return Template(before: PythonText(scalars: scalars.scalars[..<index]), behind: behind)
    }

    private static func record(_ record: DataRecord) throws -> Record {
        func stripped(_ key: String) throws -> PythonText { PythonText(try record.text(key)).stripped }
        let (id, answer) = (try record.text("_id"), try record.text("answer"))
        guard letters.contains(answer) else { throw record.refused("'answer' is '\(answer)', expected A, B, C or D") }
        return Record(
            id: id,
            group: ExampleGroup(dataset: try record.text("difficulty"), words: try record.text("length")),
            context: try stripped("context"),
            fields: [Field("$Q$", try stripped("question"))]
                + (try letters.map { Field("$C_\($0)$", try stripped("choice_\($0)")) }),
            answer: answer)
    }

    public var name: String { "longbench2" }

    public var count: Int { records.count * (second == nil ? 1 : 2) }

    public var options: [String: String] {
        var options = ["max-length": "\(how.maxLength)", "cot": "\(how.isReasoned)"]
        if let limit = how.limit { options["limit"] = "\(limit)" }
        if let maxTokens = how.maxTokens { options["max-new"] = "\(maxTokens)" }
        return options
    }

    /// The examples, prompts of too many tokens cut in their middle; with a chain of thought each is followed by the one that is scored.
    public func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
        try records.map { record in
            guard let second else {
                return try example(record, first, [], encoder, id: "longbench2/\(record.id)", maxTokens: how.maxTokens ?? 128)
            }
            let id = "longbench2/\(record.id)/reasoning"
            var reasoning = try example(record, first, [], encoder, id: id, maxTokens: how.maxTokens ?? 1024)
            let empty = try example(record, second, [], encoder, id: id, maxTokens: how.maxTokens ?? 128)
            reasoning.leastTokens = empty.tokens.count + empty.maxTokens - 1
            reasoning.mostTokens = reasoning.leastTokens + reasoning.maxTokens
            (reasoning.task, reasoning.references) = (.unscored, [])
            reasoning.following = { output in
                let thought = Field(Self.reasoningPlace, PythonText(output).stripped)
                return try example(
                    record, second, [thought], encoder, id: "longbench2/\(record.id)", maxTokens: how.maxTokens ?? 128)
            }
            return reasoning
        }
    }

    private func example(
        _ record: Record, _ template: Template, _ more: [Field], _ encoder: PromptEncoder, id: String,
        maxTokens: Int
    ) throws -> GenerationExample {
        // One place after the other in the whole prompt, as `pred.py` fills them: also where a text has a place's name in it.
        func filled(_ text: PythonText) -> String {
            (record.fields + more).reduce(text) { $0.replacing($1.place, with: $1.text) }.string
        }
        let behind = template.behind.map(filled)
        let prompt = filled(template.before) + (behind.map { filled(record.context) + $0 } ?? "")
        let cut = Self.truncated(prompt, to: how.maxLength, encoder)
        guard let rule = ScoringTask.named("longbench2", isDataset: false) else {
            preconditionFailure("LongBench2Data: no task 'longbench2'")
        }
        let encoded = try encoder.encoded(cut, questionBytes: min((behind ?? prompt).utf8.count, cut.utf8.count), id: id)
        return GenerationExample(
            id: id, group: record.group, prompt: encoded.text, tokens: encoded.tokens, contextTokens: encoded.contextTokens,
            maxTokens: maxTokens, references: [record.answer], stops: encoded.stops, task: rule)
    }

    /// The prompt, or where it has more than `limit` tokens its first ⌊limit/2⌋ and last ⌈limit/2⌉, decoded together; a beginning-of-sequence
    /// token counts and is not decoded.
    static func truncated(_ prompt: String, to limit: Int, _ encoder: PromptEncoder) -> String {
        let tokens = encoder.tokens(prompt)
        guard tokens.count > limit else { return prompt }
        let kept = tokens.prefix(limit / 2) + tokens.suffix(limit - limit / 2)
        return String(decoding: encoder.tokenizer.decode(kept.filter { $0 != encoder.bosID }), as: UTF8.self)
    }
}
