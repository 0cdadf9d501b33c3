import ArgumentParser
import Evaluation
import Experiments

/// `kvlab eval passkey`: retrieval of a number from a long text, through the cache that serves.
struct EvalPasskeyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "passkey", abstract: "How often models find a number in a long text, for each length, depth and cache.",
        discussion: """
            The prompts are those of Mohtashami and Jaggi (2023): a key between two stretches of repeated sentences, asked for at the end. \
            All models and caches get the same keys, greedily and through the engine that serves; beginnings that prompts share are \
            computed once. With several models or caches the first is what the others are compared with, paired over examples. Caches that \
            evict decide before the question, unless --query-aware says otherwise.

            With --out each finished example is a line of records.jsonl at once, and the same command goes on where it stopped.
            """)

    @Argument(help: "Checkpoints; the others are compared with the first.", completion: .file(extensions: ["h5"]))
    var models: [String]

    @Option(help: "Prompt lengths in tokens, such as 512,1024.")
    var lengths = "512,1024"

    @Option(help: "Depths: the key stands in the middle of each of so many equal parts.")
    var depths = 10

    @Option(
        help: "Keys at each length and depth. 10 of 10 right means 72 to 100 %: use 50 a length to call two caches different.")
    var trials = 5

    @Option(help: "Seed of the keys.")
    var seed: UInt64 = 1

    @Option(name: .customLong("max-new"), help: "Tokens generated at most.")
    var maxNew = 10

    @OptionGroup var options: LongContextOptions

    func validate() throws {
        guard !models.isEmpty else { throw ValidationError("name at least one checkpoint") }
        try LengthList.check(lengths)
        for (name, value, most) in [("--depths", depths, 1000), ("--trials", trials, 100_000), ("--max-new", maxNew, 1000)]
        where !(1...most).contains(value) {
            throw ValidationError("\(name) is \(value), expected 1 to \(most)")
        }
    }

    func run() async throws {
        let grid = PasskeyGrid(
            lengths: try LengthList.check(lengths), depths: depths, trials: trials, seed: seed, maxTokens: maxNew)
        let task = LongContextEvaluation.Task(
            name: "passkey",
            options: [
                "lengths": lengths, "depths": "\(depths)", "trials": "\(trials)", "seed": "\(seed)", "max-new": "\(maxNew)",
            ], count: grid.count
        ) { try grid.examples($0.tokenizer, bosID: $0.bosID) }
        try await options.run(task, models: models)
    }
}
