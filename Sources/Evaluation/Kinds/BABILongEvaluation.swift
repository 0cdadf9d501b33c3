import Foundation
import Text

/// BABILong (``BABILongTask``).
enum BABILongEvaluation: EvaluationKind {
    static let name = "babilong"
    static let summary = "bAbI's questions about facts in long texts"
    static let abstract = "BABILong's scores of models, for each task, length and cache."
    static let discussion = """
        `data` is a folder with BABILong's files, LENGTH/TASK.json (RMT-team/babilong on Hugging Face); with `babi` and `haystack` samples \
        are made from bAbI's test files and a book instead, as its authors make them. `prompts` is babilong/prompts.py of \
        github.com/booydar/babilong, or its texts as JSON, which are read, not copied; `bare` leaves instruction, examples and post-prompt \
        out, as the authors do for base models. An output is right where it names the right label and no other.
        """
    static let settings: [EvaluationSetting] = [
        .folder("data", "the folder of BABILong's files, LENGTH/TASK.json, in place of `babi`", example: "babilong"),
        .folder("babi", "the folder of bAbI's files, TASK_…_test.txt, to make samples from", example: "tasks_1-20_v1-2/en"),
        EvaluationSetting(
            "haystack", .files, "texts around bAbI's facts, one behind the other; old books are free",
            example: .texts(["data/alice.txt"])),
        .file(
            "prompts", "BABILong's prompts.py, or its texts as JSON", example: "babilong/prompts.py",
            absence: "name BABILong's prompts with `prompts`: the file babilong/prompts.py of github.com/booydar/babilong"),
        .flag("bare", "leave instruction, examples and post-prompt out"),
        EvaluationSetting(
            "tasks", .texts, "tasks, such as qa1,qa2; by default all that `data` has at every length, qa1 to qa5 of `babi`",
            example: .texts(["qa1"])),
        EvaluationSetting(
            "lengths", .texts, "lengths, such as 0k,1k; by default all that `data` has, 0k,1k of `babi`",
            example: .texts(["0k", "1k"])),
        EvaluationSetting(
            "seed", .integer(0...Int.max),
            "seed of the samples made, which are the same for all models and caches of one tokenizer",
            example: .integer(2)),
        .limit(), .maxNew(20), .chat, .queryAware,
    ]

    static func check(_ settings: EvaluationSettings) throws(EvaluationFault) {
        let makesSamples = settings.isGiven("babi")
        guard settings.isGiven("data") != makesSamples else {
            throw EvaluationFault(nil, "name either `data`, BABILong's own files, or `babi` and `haystack`, to make samples from")
        }
        guard makesSamples == settings.isGiven("haystack") else {
            throw EvaluationFault(nil, "`babi` and `haystack` belong together")
        }
        guard makesSamples || !settings.isGiven("seed") else { throw EvaluationFault("seed", "has no effect without `babi`") }
        try settings.names("tasks", of: "tasks", known: BABILongTask.tasks)
        if let sizes = settings.texts("lengths"),
            !sizes.allSatisfy({ BABILongTask.tokens($0) != nil }) || Set(sizes).count != sizes.count
        {
            throw EvaluationFault(
                "lengths", "is '\(sizes.joined(separator: ","))', expected different lengths such as 0k, 1k, 128k or 1M")
        }
    }

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        let prompts = try BABILongPrompts(path: settings.word("prompts"))
        var options = BABILongTask.Options(
            isBare: settings.flag("bare"), limit: settings.integer("limit"), maxTokens: settings.count("maxNew"))
        if let babi = settings.text("babi") {
            let tasks = settings.texts("tasks") ?? Array(BABILongTask.tasks.prefix(5))
            let corpus = try Corpus(paths: settings.texts("haystack") ?? [])
            let maker = try BABILongMaker(
                tasks: tasks, babi: babi, haystack: corpus.joinedText, haystackFiles: corpus.paths,
                seed: UInt64(settings.integer("seed") ?? 1))
            options.limit = options.limit ?? 100
            let lengths = settings.texts("lengths") ?? ["0k", "1k"]
            return .generation(BABILongTask(tasks: tasks, lengths: lengths, making: maker, prompts: prompts, options), .init())
        }
        let data = settings.word("data")
        let lengths = try settings.texts("lengths") ?? Self.lengths(data)
        let tasks =
            settings.texts("tasks")
            ?? BABILongTask.tasks.filter { task in
                lengths.allSatisfy { FileManager.default.fileExists(atPath: "\(data)/\($0)/\(task).json") }
            }
        guard !tasks.isEmpty else {
            throw EvaluationFault(
                "data", "\(data) has no task's file, such as qa1.json, at each of \(lengths.joined(separator: ", "))")
        }
        return .generation(try BABILongTask(tasks: tasks, lengths: lengths, data: data, prompts: prompts, options), .init())
    }

    /// The lengths that a folder of data has, ascending.
    private static func lengths(_ data: String) throws(EvaluationFault) -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: data)) ?? []
        let lengths = names.compactMap { name in BABILongTask.tokens(name).map { (name, $0) } }.sorted { $0.1 < $1.1 }.map(\.0)
        guard !lengths.isEmpty else { throw EvaluationFault("data", "\(data) has none of BABILong's folders, such as 0k or 1k") }
        return lengths
    }
}
