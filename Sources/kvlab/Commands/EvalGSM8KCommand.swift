import ArgumentParser
import Evaluation

/// `kvlab eval gsm8k`: GSM8K after a chain of thought, through the cache that serves.
struct EvalGSM8KCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gsm8k", abstract: "GSM8K's scores of models after a chain of thought, for each cache.",
        discussion: """
            --data is GSM8K's test.jsonl (github.com/openai/grade-school-math), --prompts lm-evaluation-harness's task file gsm8k-cot.yaml \
            (lm_eval/tasks/gsm8k), whose eight worked examples are read, not copied, or the same texts as JSON. The score is the harness's \
            strict-match, "The answer is 18."; flexible-extract, the last number of an output, stands beside it.

            With --out each finished example is a line of records.jsonl at once, and the same command goes on where it stopped.
            """)

    @OptionGroup var suite: SuiteOptions

    @Option(help: "The questions, lines with question and answer.", completion: .file(extensions: ["jsonl"]))
    var data: String

    @Option(help: "The worked examples: gsm8k-cot.yaml, or its texts as JSON.", completion: .file())
    var prompts: String?

    @Flag(help: "Make each worked example a user's and an assistant's turn of the chat template.")
    var multiTurn = false

    @OptionGroup var options: LongContextOptions

    func validate() throws {
        guard !multiTurn || suite.chat.chat != .never else {
            throw ValidationError("--multi-turn has no effect without --chat auto or always")
        }
        guard prompts != nil else {
            throw ValidationError(
                "name the worked examples with --prompts: the file lm_eval/tasks/gsm8k/gsm8k-cot.yaml of "
                    + "github.com/EleutherAI/lm-evaluation-harness")
        }
    }

    func run() async throws {
        let task = try GSM8KTask(
            data: data, prompts: prompts ?? "", limit: suite.limit, maxTokens: suite.maxNew, isMultiTurn: multiTurn)
        try await options.run(task, models: suite.models, chat: suite.chat.evaluation)
    }
}
