import ArgumentParser
import Evaluation
import Experiments

/// `kvlab eval needle`: retrieval of a sentence from a book, through the cache that serves.
struct EvalNeedleCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "needle", abstract: "How often models find a sentence in a book, for each length, depth and cache.",
        discussion: """
            The needle of Kamradt (2023): a sentence between those of a text, asked for at the end. By default it tells a magic number, another \
            one in each prompt; --needle, --question and --answer together name another. An output is right where all words of the answer \
            occur in it; records have ROUGE-1 recall of the needle beside that.

            With --out each finished example is a line of records.jsonl at once, and the same command goes on where it stopped.
            """)

    @Argument(help: "Checkpoints; the others are compared with the first.", completion: .file(extensions: ["h5"]))
    var models: [String]

    @Option(
        parsing: .upToNextOption, help: "Texts around the needle, one behind the other; old books are free.", completion: .file())
    var haystack: [String]

    @Option(help: "Prompt lengths in tokens, such as 1024,2048.")
    var lengths = "1024,2048"

    @Option(help: "Depths, evenly from the text's beginning to its end.")
    var depths = 10

    @Option(
        help: "Prompts at each length and depth. 10 of 10 right means 72 to 100 %: use 50 a length to call two caches different.")
    var trials = 1

    @Option(help: "Seed of the magic numbers.")
    var seed: UInt64 = 1

    @Option(name: .customLong("max-new"), help: "Tokens generated at most.")
    var maxNew = 24

    @Option(help: "The sentence to hide; by default one with a magic number.")
    var needle: String?

    @Option(help: "The question about it, and the beginning of the answer if there is to be one.")
    var question: String?

    @Option(help: "The words that a right output has.")
    var answer: String?

    @OptionGroup var options: LongContextOptions

    func validate() throws {
        guard !models.isEmpty else { throw ValidationError("name at least one checkpoint") }
        try LengthList.check(lengths)
        for (name, value, most) in [("--depths", depths, 1000), ("--trials", trials, 100_000), ("--max-new", maxNew, 1000)]
        where !(1...most).contains(value) {
            throw ValidationError("\(name) is \(value), expected 1 to \(most)")
        }
        let own = [needle, question, answer].compactMap { $0 }
        guard own.isEmpty || own.count == 3 && !own.contains("") else {
            throw ValidationError("--needle, --question and --answer belong together, and none is empty")
        }
    }

    func run() async throws {
        let text = try haystack.map { try TextFile.read($0) }.joined(separator: "\n")
        var grid = NeedleGrid(
            haystack: text, lengths: try LengthList.check(lengths), depths: depths, trials: trials, seed: seed, maxTokens: maxNew)
        var described = [
            "lengths": lengths, "depths": "\(depths)", "trials": "\(trials)", "seed": "\(seed)", "max-new": "\(maxNew)",
        ]
        if let needle, let question, let answer {
            grid.needle = NeedleGrid.Needle(text: needle, question: question, answer: answer)
            (described["needle"], described["question"], described["answer"]) = (needle, question, answer)
        }
        let examples = grid
        let task = LongContextEvaluation.Task(name: "needle", options: described, files: haystack, count: grid.count) {
            try examples.examples($0.tokenizer, bosID: $0.bosID)
        }
        try await options.run(task, models: models)
    }
}
