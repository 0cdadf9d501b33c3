import ArgumentParser
import Evaluation
import Experiments
import Foundation
import Text

/// `kvlab eval babilong`: bAbI's questions about facts in long texts, through the cache that serves.
struct EvalBABILongCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "babilong", abstract: "BABILong's scores of models, for each task, length and cache.",
        discussion: """
            --data is a folder with BABILong's files, LENGTH/TASK.json (RMT-team/babilong on Hugging Face); with --babi and --haystack samples \
            are made from bAbI's test files and a book instead, as its authors make them. --prompts is babilong/prompts.py of \
            github.com/booydar/babilong, or its texts as JSON, which are read, not copied; --bare leaves instruction, examples and post-prompt \
            out, as the authors do for base models. An output is right where it names the right label and no other.

            With --out each finished example is a line of records.jsonl at once, and the same command goes on where it stopped.
            """)

    @OptionGroup var suite: SuiteOptions

    @Option(help: "The folder of the data, LENGTH/TASK.json.", completion: .directory)
    var data: String?

    @Option(help: "The folder of bAbI's files, TASK_…_test.txt, to make samples from.", completion: .directory)
    var babi: String?

    @Option(
        parsing: .upToNextOption, help: "Texts around bAbI's facts, one behind the other; old books are free.",
        completion: .file()
    )
    var haystack: [String] = []

    @Option(help: "BABILong's prompts.py, or its texts as JSON.", completion: .file())
    var prompts: String?

    @Flag(help: "Leave instruction, examples and post-prompt out.")
    var bare = false

    @Option(help: "Tasks, such as qa1,qa2; by default all that --data has at every length, qa1 to qa5 of --babi.")
    var tasks: String?

    @Option(help: "Lengths, such as 0k,1k; by default all that --data has, 0k,1k of --babi.")
    var lengths: String?

    @Option(help: "Seed of the samples made, which are the same for all models and caches of one tokenizer.")
    var seed: UInt64?

    @OptionGroup var options: LongContextOptions

    func validate() throws {
        guard (data == nil) != (babi == nil) else {
            throw ValidationError("name either --data, BABILong's own files, or --babi and --haystack, to make samples from")
        }
        guard (babi == nil) == haystack.isEmpty else { throw ValidationError("--babi and --haystack belong together") }
        guard babi != nil || seed == nil else { throw ValidationError("--seed has no effect without --babi") }
        guard prompts != nil else {
            throw ValidationError(
                "name BABILong's prompts with --prompts: the file babilong/prompts.py of github.com/booydar/babilong")
        }
        _ = try named()
    }

    private func named() throws -> (tasks: [String]?, lengths: [String]?) {
        let names = try tasks.map {
            try NameList.check($0, option: "--tasks", of: "tasks", known: BABILongTask.tasks)
        }
        let sizes = lengths.map { $0.split(separator: ",", omittingEmptySubsequences: false).map(String.init) }
        if let sizes, !sizes.allSatisfy({ BABILongTask.tokens($0) != nil }) || Set(sizes).count != sizes.count {
            throw ValidationError("--lengths is '\(lengths ?? "")', expected different lengths such as 0k, 1k, 128k or 1M")
        }
        return (names, sizes)
    }

    func run() async throws {
        let (names, sizes) = try named()
        let texts = try BABILongPrompts(path: prompts ?? "")
        let task: BABILongTask
        if let babi {
            let (tasks, lengths) = (names ?? Array(BABILongTask.tasks.prefix(5)), sizes ?? ["0k", "1k"])
            let corpus = try Corpus(paths: haystack)
            let maker = try BABILongMaker(
                tasks: tasks, babi: babi, haystack: corpus.joinedText,
                haystackFiles: corpus.paths, seed: seed ?? 1)
            task = BABILongTask(
                tasks: tasks, lengths: lengths, making: maker, prompts: texts,
                .init(isBare: bare, limit: suite.limit ?? 100, maxTokens: suite.maxNew ?? 20))
        } else {
            let data = data ?? ""
            let lengths = try sizes ?? Self.lengths(data)
            let tasks =
                names
                ?? BABILongTask.tasks.filter { task in
                    lengths.allSatisfy { FileManager.default.fileExists(atPath: "\(data)/\($0)/\(task).json") }
                }
            guard !tasks.isEmpty else {
                throw ValidationError(
                    "--data \(data) has no task's file, such as qa1.json, at each of \(lengths.joined(separator: ", "))")
            }
            task = try BABILongTask(
                tasks: tasks, lengths: lengths, data: data, prompts: texts,
                .init(isBare: bare, limit: suite.limit, maxTokens: suite.maxNew ?? 20))
        }
        try await options.run(task, models: suite.models, chat: suite.chat.evaluation)
    }

    /// The lengths that a folder of data has, ascending.
    private static func lengths(_ data: String) throws -> [String] {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: data)) ?? []
        let lengths = names.compactMap { name in BABILongTask.tokens(name).map { (name, $0) } }.sorted { $0.1 < $1.1 }.map(\.0)
        guard !lengths.isEmpty else {
            throw ValidationError("--data \(data) has none of BABILong's folders, such as 0k or 1k")
        }
        return lengths
    }
}
