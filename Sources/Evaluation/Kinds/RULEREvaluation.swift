import Text

/// RULER (``RULERTask``).
enum RULEREvaluation: EvaluationKind {
    static let name = "ruler"
    static let summary = "RULER's tasks"
    static let abstract = "RULER's scores of models, for each task, length and cache."
    static let discussion = """
        `lengths` makes prompts of those lengths as RULER's generators make them (github.com/NVIDIA/RULER, scripts/data/synthetic), in the \
        tokens of each model, the output's counted: `prompts` is their constants.py, whose texts are read, not copied; `haystack` a text in \
        place of the essays that they download; `squad` SQuAD's dev-v2.0.json for qa_1, `hotpotqa` HotpotQA's hotpot_dev_distractor_v1.json \
        for qa_2. Words come from a list of kvlab's own. `data` in place of `lengths` is a folder with files that the generators wrote: \
        TASK/validation.jsonl, or TASK.jsonl and TASK-LENGTH.jsonl, of which one folder may hold several lengths. The beginning of an \
        answer, answer_prefix, is appended to its prompt; the score is the share of the outputs found, whatever their case.
        """
    static let settings: [EvaluationSetting] = [
        .folder(
            "data", "the folder of the data, TASK/validation.jsonl, TASK.jsonl or TASK-LENGTH.jsonl, in place of `lengths`",
            example: "synthetic/4096/data"),
        EvaluationSetting(
            "lengths", .integers(1...10_000_000), "tokens of prompt and output, to make prompts of; 100 of each task by default",
            example: .integers([4096])),
        EvaluationSetting(
            "prompts", .file([]), "RULER's constants.py, or its TASKS as JSON, to make prompts of",
            example: .text("RULER/scripts/data/synthetic/constants.py")),
        EvaluationSetting(
            "haystack", .files, "texts around needles, one behind the other; old books are free",
            example: .texts(["data/alice.txt"])),
        EvaluationSetting("squad", .file(["json"]), "SQuAD's dev-v2.0.json, to make qa_1 of", example: .text("dev-v2.0.json")),
        EvaluationSetting(
            "hotpotqa", .file(["json"]), "HotpotQA's hotpot_dev_distractor_v1.json, to make qa_2 of",
            example: .text("hotpot_dev_distractor_v1.json")),
        EvaluationSetting(
            "tasks", .texts, "tasks, such as niah_single_1,vt; by default all that `data` has, or that the files named make",
            example: .texts(["niah_single_1"])),
        EvaluationSetting(
            "seed", .integer(0...Int.max),
            "seed of the prompts made, which are the same for all models and caches of one tokenizer", example: .integer(2)),
        .limit(), .maxNew(nil), .chat, .queryAware,
    ]

    static func check(_ settings: EvaluationSettings) throws(EvaluationFault) {
        guard settings.isGiven("data") != settings.isGiven("lengths") else {
            throw EvaluationFault(nil, "name either `data`, files of RULER's generators, or `lengths`, to make prompts of")
        }
        if settings.isGiven("data") {
            for key in ["prompts", "haystack", "squad", "hotpotqa", "seed"] where settings.isGiven(key) {
                throw EvaluationFault(key, "has no effect without `lengths`")
            }
        } else if !settings.isGiven("prompts") {
            throw EvaluationFault(
                "prompts",
                "name RULER's texts with `prompts`: the file scripts/data/synthetic/constants.py of github.com/NVIDIA/RULER")
        }
        try settings.names("tasks", of: "tasks", known: RULERTask.tasks)
    }

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        let most = settings.integer("maxNew")
        guard let path = settings.text("prompts") else {
            return .generation(
                try RULERTask(
                    tasks: settings.texts("tasks"), data: settings.word("data"), limit: settings.integer("limit"),
                    maxTokens: most), .init())
        }
        let corpus = try settings.texts("haystack").map { try Corpus(paths: $0) }
        let sources = RULERMaker.Sources(
            texts: try RULERPrompts(path: path), haystack: corpus?.joinedText, haystackFiles: corpus?.paths ?? [],
            squad: settings.text("squad"), hotpotqa: settings.text("hotpotqa"))
        do {
            let maker = try RULERMaker(
                tasks: settings.texts("tasks") ?? RULERMaker.tasks(of: sources), lengths: settings.integers("lengths"), sources,
                limit: settings.integer("limit") ?? 100, seed: UInt64(settings.integer("seed") ?? 1))
            return .generation(RULERTask(making: maker, maxTokens: most), .init())
        } catch RULERMaker.Fault.missing(let task, let key, let files) {
            throw EvaluationFault(key, "\(task) is made from \(files); name it with `\(key)`")
        }
    }
}
