import Foundation
import Text

extension EvaluationKind {
    /// LongBench (``LongBenchData``).
    static let longbench = EvaluationKind(
        "longbench", "LongBench's data sets",
        [
            .path("data", "the folder of LongBench's files, DATASET.jsonl", example: "LongBench/data"),
            .path("config", "the folder of dataset2prompt.json and dataset2maxlen.json", example: "LongBench/config"),
            EvaluationSetting("tasks", .texts, "data sets; all that `data` has unless given", example: .texts(["hotpotqa"])),
            EvaluationSetting(
                "maxLength", .integer(2...Int.max), "tokens of a prompt; longer ones are cut in their middle",
                default: .integer(3500),
                example: .integer(7500)),
            .path("jieba", "the folder of a jieba distribution, for the Chinese data sets", example: "jieba", isRequired: false),
            EvaluationSetting(
                "lineSimilarity", .choice(LineSimilarity.allCases.map(\.rawValue)),
                "the ratio that lines of code are compared by",
                default: .text(LineSimilarity.difflib.rawValue), example: .text(LineSimilarity.indel.rawValue)),
            .limit, .maxNew(nil), .chat, .queryAware,
        ]
    ) { settings in
        let data = settings.text("data") ?? ""
        let datasets =
            try settings.names("tasks", of: "data sets", known: LongBenchData.datasets)
            ?? LongBenchData.datasets.filter { FileManager.default.fileExists(atPath: "\(data)/\($0).jsonl") }
        guard !datasets.isEmpty else {
            throw EvaluationFault("data", "\(data) has none of LongBench's files, such as \(LongBenchData.datasets[0]).jsonl")
        }
        guard settings.text("jieba") != nil || !LongBenchData.needsJieba(datasets) else {
            throw EvaluationFault("jieba", "the Chinese data sets are scored on jieba's words; name its folder, or other 'tasks'")
        }
        let similarity = settings.text("lineSimilarity").flatMap(LineSimilarity.init(rawValue:)) ?? .difflib
        let task = try LongBenchData(
            datasets: datasets, data: data, config: settings.text("config") ?? "",
            LongBenchData.Options(
                maxLength: settings.integer("maxLength") ?? 3500, limit: settings.integer("limit"),
                maxTokens: settings.integer("maxNew"), lineSimilarity: similarity))
        let jieba = try settings.text("jieba").map { try Jieba(folder: $0) }
        return .generation(task, ScoringTask.Options(jieba: jieba, lineSimilarity: similarity))
    }

    /// BABILong (``BABILongTask``).
    static let babilong = EvaluationKind(
        "babilong", "bAbI's questions about facts in long texts",
        [
            .path(
                "data", "the folder of BABILong's files, LENGTH/TASK.json, in place of `babi`", example: "babilong",
                isRequired: false),
            .path("babi", "the folder of bAbI's files, to make samples from", example: "tasks_1-20_v1-2/en", isRequired: false),
            EvaluationSetting("haystack", .paths, "texts around bAbI's facts, with `babi`", example: .texts(["data/alice.txt"])),
            .path("prompts", "BABILong's prompts.py, or its texts as JSON", example: "babilong/prompts.py"),
            EvaluationSetting(
                "bare", .flag, "whether instruction, examples and post-prompt are left out", default: .flag(false),
                example: .flag(true)),
            EvaluationSetting(
                "tasks", .texts, "tasks; all that `data` has at every length, or qa1 to qa5 of `babi`", example: .texts(["qa1"])),
            EvaluationSetting(
                "lengths", .texts, "lengths; all that `data` has, or 0k and 1k of `babi`", example: .texts(["0k", "1k"])),
            EvaluationSetting("seed", .integer(0...Int.max), "seed of the samples made from `babi`", example: .integer(2)),
            .limit, .maxNew(20), .chat, .queryAware,
        ]
    ) { settings in
        guard (settings.text("data") == nil) != (settings.text("babi") == nil) else {
            throw EvaluationFault(nil, "name either 'data', BABILong's own files, or 'babi' and 'haystack', to make samples from")
        }
        guard (settings.text("babi") == nil) == (settings.texts("haystack") == nil) else {
            throw EvaluationFault("haystack", "'babi' and 'haystack' belong together")
        }
        guard settings.text("babi") != nil || settings.integer("seed") == nil else {
            throw EvaluationFault("seed", "has no effect without 'babi'")
        }
        let names = try settings.names("tasks", of: "tasks", known: BABILongTask.tasks)
        let sizes = settings.texts("lengths")
        if let sizes, !sizes.allSatisfy({ BABILongTask.tokens($0) != nil }) || Set(sizes).count != sizes.count {
            throw EvaluationFault(
                "lengths", "'\(sizes.joined(separator: ","))', expected different lengths such as 0k, 1k, 128k or 1M")
        }
        let prompts = try BABILongPrompts(path: settings.text("prompts") ?? "")
        let (isBare, most) = (settings.flag("bare"), settings.integer("maxNew") ?? 20)
        if let babi = settings.text("babi") {
            let (tasks, corpus) = (
                names ?? Array(BABILongTask.tasks.prefix(5)), try Corpus(paths: settings.texts("haystack") ?? [])
            )
            let maker = try BABILongMaker(
                tasks: tasks, babi: babi, haystack: corpus.joinedText,
                haystackFiles: corpus.paths, seed: UInt64(settings.integer("seed") ?? 1))
            let options = BABILongTask.Options(isBare: isBare, limit: settings.integer("limit") ?? 100, maxTokens: most)
            return .generation(
                BABILongTask(tasks: tasks, lengths: sizes ?? ["0k", "1k"], making: maker, prompts: prompts, options), .init())
        }
        let data = settings.text("data") ?? ""
        let found = (try? FileManager.default.contentsOfDirectory(atPath: data)) ?? []
        let lengths =
            sizes ?? found.compactMap { name in BABILongTask.tokens(name).map { (name, $0) } }.sorted { $0.1 < $1.1 }.map(\.0)
        guard !lengths.isEmpty else { throw EvaluationFault("data", "\(data) has none of BABILong's folders, such as 0k or 1k") }
        let tasks =
            names
            ?? BABILongTask.tasks.filter { task in
                lengths.allSatisfy { FileManager.default.fileExists(atPath: "\(data)/\($0)/\(task).json") }
            }
        guard !tasks.isEmpty else {
            throw EvaluationFault(
                "data", "\(data) has no task's file, such as qa1.json, at each of \(lengths.joined(separator: ", "))")
        }
        let options = BABILongTask.Options(isBare: isBare, limit: settings.integer("limit"), maxTokens: most)
        return .generation(
            try BABILongTask(tasks: tasks, lengths: lengths, data: data, prompts: prompts, options), .init())
    }

    /// RULER (``RULERTask``).
    static let ruler = EvaluationKind(
        "ruler", "RULER's tasks",
        [
            .path("data", "the folder of RULER's files", example: "synthetic/4096/data"),
            EvaluationSetting("tasks", .texts, "tasks; all that `data` has unless given", example: .texts(["niah_single_1"])),
            .limit, .maxNew(nil), .chat, .queryAware,
        ]
    ) { settings in
        .generation(
            try RULERTask(
                tasks: try settings.names("tasks", of: "tasks", known: RULERTask.tasks), data: settings.text("data") ?? "",
                limit: settings.integer("limit"), maxTokens: settings.integer("maxNew")), .init())
    }

    /// GSM8K (``GSM8KTask``).
    static let gsm8k = EvaluationKind(
        "gsm8k", "arithmetic after a chain of thought",
        [
            .path("data", "the questions, lines with question and answer", example: "test.jsonl"),
            .path("prompts", "the worked examples: gsm8k-cot.yaml, or its texts as JSON", example: "gsm8k-cot.yaml"), .limit,
            .maxNew(nil), .multiTurn, .chat, .queryAware,
        ]
    ) { settings in
        try settings.checkTurns()
        return .generation(
            try GSM8KTask(
                data: settings.text("data") ?? "", prompts: settings.text("prompts") ?? "", limit: settings.integer("limit"),
                maxTokens: settings.integer("maxNew"), isMultiTurn: settings.flag("multiTurn")), .init())
    }

    /// MMLU (``MMLU``), by likelihood.
    static let mmlu = EvaluationKind(
        "mmlu", "questions of four choices, by likelihood and without a cache",
        [
            .path("data", "the folder of MMLU's files", example: "mmlu"),
            EvaluationSetting("subjects", .texts, "subjects; all that `data` has unless given", example: .texts(["anatomy"])),
            EvaluationSetting(
                "shots", .integer(0...100), "examples before each question", default: .integer(5), example: .integer(0)),
            .limit,
        ]
    ) { settings in
        let (data, shots) = (settings.text("data") ?? "", settings.integer("shots") ?? 5)
        let mmlu = try MMLU(settings.texts("subjects"), data: data, shots: shots, limit: settings.integer("limit"))
        let names = mmlu.subjects.map(\.name)
        let files = names.flatMap { (shots > 0 ? ["\(data)/dev/\($0)_dev.csv"] : []) + ["\(data)/test/\($0)_test.csv"] }
        var options = ["subjects": names.joined(separator: ","), "shots": "\(shots)"]
        options["limit"] = settings.integer("limit").map { "\($0)" }
        return .choices(.init(name: "mmlu", items: mmlu.subjects.flatMap(\.items), files: files, options: options))
    }

    /// A task file of lm-evaluation-harness (``HarnessTask``).
    static let task = EvaluationKind(
        "task", "a task file of lm-evaluation-harness",
        [
            .path("file", "the task file", example: "triviaqa.yaml"),
            EvaluationSetting(
                "data", .texts,
                "JSON or JSON Lines files of splits, SPLIT=FILE; without a split's name that of the evaluated one",
                example: .texts(["validation=triviaqa.jsonl"])),
            EvaluationSetting(
                "shots", .integer(0...1000), "few-shot examples instead of the file's number", example: .integer(5)), .limit,
            .maxNew(nil), .multiTurn, .chat, .queryAware,
        ]
    ) { settings in
        try settings.checkTurns()
        var files: [String: String] = [:]
        for text in settings.texts("data") ?? [] {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let (split, file) = parts.count == 2 ? (parts[0], parts[1]) : ("", text)
            guard !file.isEmpty, files.updateValue(file, forKey: split) == nil else {
                throw EvaluationFault("data", "'\(text)' is empty, or names a split again")
            }
        }
        let made = try HarnessTask(
            path: settings.text("file") ?? "",
            .init(
                data: files, shots: settings.integer("shots"), limit: settings.integer("limit"),
                maxTokens: settings.integer("maxNew"), isMultiTurn: settings.flag("multiTurn")))
        guard made.kind == .choice else { return .generation(made, ScoringTask.Options(harness: made.scoring)) }
        for key in ["maxNew", "multiTurn", "chat", "queryAware"] where settings.isGiven(key) {
            throw EvaluationFault(key, "has no effect on \(made.name), whose choices are scored by likelihood, without a cache")
        }
        return .choices(.init(name: made.name, items: try made.choices(), files: made.files, options: made.options))
    }
}

extension EvaluationSettings {
    /// Refuses turns of a chat template that is not asked for.
    fileprivate func checkTurns() throws(EvaluationFault) {
        guard !flag("multiTurn") || text("chat") != "never" else {
            throw EvaluationFault("multiTurn", "has no effect unless 'chat' is auto or always")
        }
    }
}
