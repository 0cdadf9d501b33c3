import JSON

/// GSM8K (Cobbe et al. 2021) after eight worked examples of a chain of thought (Wei et al. 2022), as lm-evaluation-harness's `gsm8k_cot`
/// prompts it.
public struct GSM8KTask: GenerationTask {
    private let task: HarnessTask

    /// Reads questions from `data`, lines with `question` and `answer`, and the worked examples and the texts around them from `prompts`: the
    /// harness's task file gsm8k-cot.yaml, or a JSON object with `doc_to_text`, `target_delimiter`, `fewshot_delimiter`, `until` and `examples`, a
    /// list of objects with `question` and `target`.
    ///
    /// Throws `FileError`, or ``ScoringError`` naming file and line.
    public init(
        data: String, prompts: String, limit: Int? = nil, maxTokens: Int? = nil, isMultiTurn: Bool = false
    ) throws {
        let options = HarnessTask.Options(data: ["": data], limit: limit, maxTokens: maxTokens, isMultiTurn: isMultiTurn)
        task = try HarnessTask(prompts.hasSuffix(".json") ? Self.file(prompts) : HarnessFile(path: prompts), options)
        guard task.kind == .generation else {
            throw ScoringError.file(
                prompts, line: 1, reason: "a multiple choice, expected lm-evaluation-harness's gsm8k-cot.yaml")
        }
    }

    /// The texts of a JSON object as a task file.
    private static func file(_ path: String) throws -> HarnessFile {
        let json = try YAMLFile.read(path)
        var values: [String: JSONValue] = [
            "doc_to_target": .text("{{ answer if answer is defined else target }}"), "test_split": .text("test"),
            "fewshot_config": .object(["sampler": .text("first_n"), "samples": json["examples"] ?? .null]),
            "num_fewshot": .int(json["examples"]?.array?.count ?? 0),
        ]
        for key in ["doc_to_text", "target_delimiter", "fewshot_delimiter"] { values[key] = json[key] }
        if let until = json["until"] { values["generation_kwargs"] = .object(["until": until]) }
        return HarnessFile(path: path, values: values)
    }

    public var name: String { "gsm8k" }

    public var options: [String: String] { task.options.filter { $0.key != "scoring" } }

    public var files: [String] { task.files }

    public var count: Int { task.count }

    public func examples(_ encoder: PromptEncoder) throws -> [GenerationExample] {
        try task.examples(encoder).enumerated().map { index, example in
            var example = example
            (example.id, example.task) = ("gsm8k/\(index)", GSM8K.both)
            return example
        }
    }
}
