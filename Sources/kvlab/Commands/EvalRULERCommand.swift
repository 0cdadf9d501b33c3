import ArgumentParser
import Evaluation
import Experiments

/// `kvlab eval ruler`: RULER's tasks, through the cache that serves.
struct EvalRULERCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ruler", abstract: "RULER's scores of models, for each task, length and cache.",
        discussion: """
            --data is a folder with the files that RULER's generators write (github.com/NVIDIA/RULER, scripts/data): TASK/validation.jsonl, \
            or TASK.jsonl and TASK-LENGTH.jsonl, of which one folder may hold several lengths. The beginning of an answer, answer_prefix, is \
            appended to its prompt; the score is the share of the outputs found, whatever their case.

            With --out each finished example is a line of records.jsonl at once, and the same command goes on where it stopped.
            """)

    @OptionGroup var suite: SuiteOptions

    @Option(help: "The folder of the data, TASK/validation.jsonl, TASK.jsonl or TASK-LENGTH.jsonl.", completion: .directory)
    var data: String

    @Option(help: "Tasks, such as niah_single_1,vt; by default all that --data has.")
    var tasks: String?

    @OptionGroup var options: LongContextOptions

    func validate() throws { _ = try named() }

    private func named() throws -> [String]? {
        try tasks.map { try NameList.check($0, option: "--tasks", of: "tasks", known: RULERTask.tasks) }
    }

    func run() async throws {
        let task = try RULERTask(tasks: try named(), data: data, limit: suite.limit, maxTokens: suite.maxNew)
        try await options.run(task, models: suite.models, chat: suite.chat.evaluation)
    }
}
