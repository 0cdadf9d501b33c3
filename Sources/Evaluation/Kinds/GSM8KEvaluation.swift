/// GSM8K (``GSM8KTask``).
enum GSM8KEvaluation: EvaluationKind {
    static let name = "gsm8k"
    static let summary = "arithmetic after a chain of thought"
    static let abstract = "GSM8K's scores of models after a chain of thought, for each cache."
    static let discussion = """
        `data` is GSM8K's test.jsonl (github.com/openai/grade-school-math), `prompts` lm-evaluation-harness's task file gsm8k-cot.yaml \
        (lm_eval/tasks/gsm8k), whose eight worked examples are read, not copied, or the same texts as JSON. The score is the harness's \
        strict-match, "The answer is 18."; flexible-extract, the last number of an output, stands beside it.
        """
    static let settings: [EvaluationSetting] = [
        EvaluationSetting(
            "data", .file(["jsonl"]), "the questions, lines with question and answer", isRequired: true,
            example: .text("test.jsonl")),
        .file(
            "prompts", "the worked examples: gsm8k-cot.yaml, or its texts as JSON", example: "gsm8k-cot.yaml",
            absence: """
                name the worked examples with `prompts`: the file lm_eval/tasks/gsm8k/gsm8k-cot.yaml of \
                github.com/EleutherAI/lm-evaluation-harness
                """),
        .limit(), .maxNew(nil), .multiTurn("worked example"), .chat, .queryAware,
    ]

    static func check(_ settings: EvaluationSettings) throws(EvaluationFault) { try settings.checkTurns() }

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        .generation(
            try GSM8KTask(
                data: settings.word("data"), prompts: settings.word("prompts"), limit: settings.integer("limit"),
                maxTokens: settings.integer("maxNew"), isMultiTurn: settings.flag("multiTurn")), .init())
    }
}

extension EvaluationSettings {
    /// Refuses turns of a chat template that is not asked for.
    func checkTurns() throws(EvaluationFault) {
        guard !flag("multiTurn") || text("chat") != "never" else {
            throw EvaluationFault("multiTurn", "has no effect without `chat` auto or always")
        }
    }
}
