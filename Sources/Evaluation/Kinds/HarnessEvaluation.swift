/// A task file of lm-evaluation-harness (``HarnessTask``).
enum HarnessEvaluation: EvaluationKind {
    static let name = "task"
    static let summary = "a task file of lm-evaluation-harness"
    static let abstract = "Evaluate models on a task file of lm-evaluation-harness."
    static let discussion = """
        The task file is read with the files that it includes; its templates, few-shot examples, filters and metrics are the harness's \
        (0.4.13). Outputs of generate_until come through the cache that serves, choices of multiple_choice are scored by likelihood, without a \
        cache or through each --cache. Data is local: the file's own data_files, or `data`, once for each split. What needs Python, such as !function, is refused \
        by name.
        """
    static let settings: [EvaluationSetting] = [
        EvaluationSetting(
            "file", .file(["yaml", "yml"]), "the task file", isRequired: true, standsAlone: true, example: .text("triviaqa.yaml")),
        EvaluationSetting(
            "data", .splits, "JSON or JSON Lines files of splits, SPLIT=FILE; without a split's name that of the evaluated one",
            example: .texts(["validation=triviaqa.jsonl"])),
        EvaluationSetting(
            "shots", .integer(0...1000), "few-shot examples instead of the file's number", example: .integer(5)),
        .limit(), .maxNew(nil), .multiTurn("few-shot example"), .chat, .queryAware,
    ]

    static func check(_ settings: EvaluationSettings) throws(EvaluationFault) {
        try settings.checkTurns()
        _ = try splits(settings)
    }

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        let made = try HarnessTask(
            path: settings.word("file"),
            .init(
                data: try splits(settings), shots: settings.integer("shots"), limit: settings.integer("limit"),
                maxTokens: settings.integer("maxNew"), isMultiTurn: settings.flag("multiTurn")))
        guard made.kind == .choice else { return .generation(made, ScoringTask.Options(harness: made.scoring)) }
        for key in ["maxNew", "multiTurn", "chat"] where settings.isGiven(key) {
            throw EvaluationFault(key, "has no effect on \(made.name), whose choices are scored by likelihood")
        }
        return .choices(
            .init(
                name: made.name, groups: [(made.name, try made.choices())], metrics: made.metrics, files: made.files,
                options: made.options))
    }

    /// The files of splits by their names, that of the evaluated one under "".
    private static func splits(_ settings: EvaluationSettings) throws(EvaluationFault) -> [String: String] {
        var files: [String: String] = [:]
        for text in settings.texts("data") ?? [] {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let (split, file) = parts.count == 2 ? (parts[0], parts[1]) : ("", text)
            guard !file.isEmpty, files.updateValue(file, forKey: split) == nil else {
                throw EvaluationFault("data", "'\(text)' is empty, or names a split again")
            }
        }
        return files
    }
}
