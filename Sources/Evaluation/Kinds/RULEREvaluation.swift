/// RULER (``RULERTask``).
enum RULEREvaluation: EvaluationKind {
    static let name = "ruler"
    static let summary = "RULER's tasks"
    static let abstract = "RULER's scores of models, for each task, length and cache."
    static let discussion = """
        `data` is a folder with the files that RULER's generators write (github.com/NVIDIA/RULER, scripts/data): TASK/validation.jsonl, \
        or TASK.jsonl and TASK-LENGTH.jsonl, of which one folder may hold several lengths. The beginning of an answer, answer_prefix, is \
        appended to its prompt; the score is the share of the outputs found, whatever their case.
        """
    static let settings: [EvaluationSetting] = [
        .folder(
            "data", "the folder of the data, TASK/validation.jsonl, TASK.jsonl or TASK-LENGTH.jsonl", isRequired: true,
            example: "synthetic/4096/data"),
        EvaluationSetting(
            "tasks", .texts, "tasks, such as niah_single_1,vt; by default all that `data` has", example: .texts(["niah_single_1"])
        ),
        .limit(), .maxNew(nil), .chat, .queryAware,
    ]

    static func check(_ settings: EvaluationSettings) throws(EvaluationFault) {
        try settings.names("tasks", of: "tasks", known: RULERTask.tasks)
    }

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        .generation(
            try RULERTask(
                tasks: settings.texts("tasks"), data: settings.word("data"), limit: settings.integer("limit"),
                maxTokens: settings.integer("maxNew")), .init())
    }
}
