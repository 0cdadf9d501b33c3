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

    @OptionGroup var retrieval: RetrievalOptions

    @OptionGroup var options: LongContextOptions

    func run() async throws {
        let (lengths, trials, maxNew) = (retrieval.lengths ?? "512,1024", retrieval.trials ?? 5, retrieval.maxNew ?? 10)
        let grid = PasskeyGrid(
            lengths: try LengthList.check(lengths), depths: retrieval.depths, trials: trials, seed: retrieval.seed,
            maxTokens: maxNew)
        let task = LongContextEvaluation.Task(
            name: "passkey",
            options: [
                "lengths": lengths, "depths": "\(retrieval.depths)", "trials": "\(trials)", "seed": "\(retrieval.seed)",
                "max-new": "\(maxNew)",
            ], count: grid.count
        ) { try grid.examples($0.tokenizer, bosID: $0.bosID) }
        try await options.run(task, models: retrieval.models)
    }
}
