import Foundation

/// LongBench (``LongBenchData``).
enum LongBenchEvaluation: EvaluationKind {
    static let name = "longbench"
    static let summary = "LongBench's data sets"
    static let abstract = "LongBench's scores of models, for each data set and cache."
    static let discussion = """
        `data` is a folder with LongBench's files, DATASET.jsonl (THUDM/LongBench on Hugging Face), `config` the folder \
        LongBench/config of its repository (github.com/THUDM/LongBench), whose prompts and numbers of new tokens are read, not copied. \
        Prompts run greedily through the engine that serves; longer ones than `maxLength` are cut in their middle, as LongBench does, before \
        `chat` puts them into a chat template, in which LongBench never puts few-shot examples and code. Files DATASET_e.jsonl are \
        LongBench-E's, whose scores are given by length too.
        """
    static let settings: [EvaluationSetting] = [
        .folder("data", "the folder of the data, DATASET.jsonl", isRequired: true, example: "LongBench/data"),
        .folder(
            "config", "the folder of dataset2prompt.json and dataset2maxlen.json", isRequired: true, example: "LongBench/config"),
        EvaluationSetting(
            "tasks", .texts, "data sets, such as hotpotqa,lcc; by default all that `data` has", example: .texts(["hotpotqa"])),
        EvaluationSetting(
            "maxLength", .integer(2...Int.max), "tokens of a prompt; longer ones are cut in their middle",
            default: .integer(3500), example: .integer(7500)),
        .folder(
            "jieba", "the folder of a jieba distribution (dict.txt and its HMM tables), which the Chinese data sets need",
            example: "jieba"),
        EvaluationSetting(
            "lineSimilarity", .choice(LineSimilarity.allCases.map(\.rawValue)),
            "the ratio that lines of code are compared by: difflib, or indel as with python-Levenshtein installed",
            default: .text(LineSimilarity.difflib.rawValue), example: .text(LineSimilarity.indel.rawValue)),
        .limit(), .maxNew(nil), .chat, .queryAware,
    ]

    static func check(_ settings: EvaluationSettings) throws(EvaluationFault) {
        try settings.names("tasks", of: "data sets", known: LongBenchData.datasets)
    }

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        let data = settings.word("data")
        let datasets =
            settings.texts("tasks")
            ?? LongBenchData.datasets.filter { FileManager.default.fileExists(atPath: "\(data)/\($0).jsonl") }
        guard !datasets.isEmpty else {
            throw EvaluationFault("data", "\(data) has none of LongBench's files, such as \(LongBenchData.datasets[0]).jsonl")
        }
        guard settings.text("jieba") != nil || !LongBenchData.needsJieba(datasets) else {
            throw EvaluationFault(
                "jieba", "the Chinese data sets are scored on jieba's words; name its folder with `jieba`, or others with `tasks`"
            )
        }
        let similarity = LineSimilarity(rawValue: settings.word("lineSimilarity")) ?? .difflib
        let task = try LongBenchData(
            datasets: datasets, data: data, config: settings.word("config"),
            LongBenchData.Options(
                maxLength: settings.count("maxLength"), limit: settings.integer("limit"), maxTokens: settings.integer("maxNew"),
                lineSimilarity: similarity))
        let jieba = try settings.text("jieba").map { try Jieba(folder: $0) }
        return .generation(task, ScoringTask.Options(jieba: jieba, lineSimilarity: similarity))
    }
}
