import ArgumentParser
import Evaluation

/// `kvlab eval task`: a task file of lm-evaluation-harness.
struct EvalTaskCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "task", abstract: "Evaluate models on a task file of lm-evaluation-harness.",
        discussion: """
            The task file is read with the files that it includes; its templates, few-shot examples, filters and metrics are the harness's \
            (0.4.13). Outputs of generate_until come through the cache that serves, choices of multiple_choice are scored by likelihood, without a \
            cache. Data is local: the file's own data_files, or --data, once for each split. What needs Python, such as !function, is refused \
            by name.

            With --out each finished example is a line of records.jsonl at once, and the same command goes on where it stopped.
            """)

    @Argument(help: "The task file.", completion: .file(extensions: ["yaml", "yml"]))
    var task: String

    @OptionGroup var suite: SuiteOptions

    @Option(
        help: "A JSON or JSON Lines file of a split, SPLIT=FILE, repeatable; without a split's name that of the evaluated one.",
        completion: .file())
    var data: [String] = []

    @Option(help: "Few-shot examples instead of the file's number.")
    var shots: Int?

    @Flag(help: "Make each few-shot example a user's and an assistant's turn of the chat template.")
    var multiTurn = false

    @OptionGroup var options: LongContextOptions

    func validate() throws {
        if let shots, !(0...1000).contains(shots) { throw ValidationError("--shots is \(shots), expected 0 to 1000") }
        guard !multiTurn || suite.chat.chat != .never else {
            throw ValidationError("--multi-turn has no effect without --chat auto or always")
        }
        _ = try files()
    }

    /// The files of splits by their names, that of the evaluated one under "".
    private func files() throws -> [String: String] {
        var files: [String: String] = [:]
        for text in data {
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
            let (split, file) = parts.count == 2 ? (parts[0], parts[1]) : ("", text)
            guard !file.isEmpty, files.updateValue(file, forKey: split) == nil else {
                throw ValidationError("--data '\(text)' is empty, or names a split again")
            }
        }
        return files
    }

    func run() async throws {
        let made = try HarnessTask(
            path: task,
            .init(data: try files(), shots: shots, limit: suite.limit, maxTokens: suite.maxNew, isMultiTurn: multiTurn))
        guard made.kind == .choice else {
            if try options.evictsBeforeQuestions, !made.hasContext {
                throw ValidationError(
                    "nothing precedes the questions of \(made.name), at whose beginning evictions would decide; use --query-aware"
                )
            }
            return try await options.run(
                made, models: suite.models, chat: suite.chat.evaluation, scoring: ScoringTask.Options(harness: made.scoring))
        }
        if let given = options.firstGiven ?? (suite.maxNew == nil ? suite.chat.chat == .never ? nil : "--chat" : "--max-new") {
            throw ValidationError(
                "\(given) has no effect on \(made.name), whose choices are scored by likelihood, without a cache")
        }
        try LikelihoodEvaluation(
            models: suite.models, tokenizer: options.tokenizer, threads: options.threads, results: options.output.results
        ).run(made.name, [(made.name, try made.choices())], metrics: made.metrics)
    }
}
