import ArgumentParser
import Evaluation

/// `kvlab eval dialogue`: conversations of scripted user turns, through the cache that serves.
struct EvalDialogueCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dialogue",
        abstract: "Scores of conversations turn by turn, with cached tokens and time to the first token.",
        discussion: """
            --data has a conversation a line: {"id": "trip", "turns": [{"user": "My train leaves from platform 9."}, {"user": "Which \
            platform?", "references": ["9"]}]}, and "system" where there is such a message. The model answers each turn after its own \
            answers to the turns before, in its chat format, as a client of the server would ask it. A turn is right where a reference \
            occurs in the answer; "task" or "dataset", in a turn or beside the turns, names another rule of `kvlab eval score`. Turns \
            without references have no score.

            With --out each answered turn is a line of records.jsonl at once, and the same command goes on where it stopped.
            """)

    @Argument(help: "Checkpoints; the others are compared with the first.", completion: .file(extensions: ["h5"]))
    var models: [String]

    @Option(help: "The conversations, JSON Lines.", completion: .file(extensions: ["jsonl"]))
    var data: String

    @Option(help: "Run the first so many conversations only.")
    var limit: Int?

    @Option(name: .customLong("max-new"), help: "Tokens of an answer at most. Default: \(DialogueTask.maxTokens).")
    var maxNew: Int?

    @Option(
        help: "The folder of a jieba distribution (dict.txt and its HMM tables), which the Chinese data sets need.",
        completion: .directory)
    var jieba: String?

    @OptionGroup var options: LongContextOptions

    func validate() throws {
        if let limit, limit < 1 { throw ValidationError("--limit is \(limit), expected at least 1") }
        if let maxNew, !(1...100_000).contains(maxNew) {
            throw ValidationError("--max-new is \(maxNew), expected 1 to 100000")
        }
    }

    func run() async throws {
        let task = try DialogueTask(data: data, limit: limit, maxTokens: maxNew)
        guard jieba != nil || !LongBenchData.needsJieba(task.rules) else {
            throw ValidationError("a rule of \(data) is scored on jieba's words; name its folder with --jieba")
        }
        try await options.run(
            task, models: models, chat: ChatPolicy.served, scoring: .init(jieba: try jieba.map { try Jieba(folder: $0) }))
    }
}
