import ArgumentParser
import Evaluation
import Experiments
import Text

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

    @Option(
        parsing: .upToNextOption, help: "Texts around the key in place of the repeated sentences, one behind the other.",
        completion: .file())
    var haystack: [String] = []

    @OptionGroup var options: LongContextOptions

    func run() async throws {
        let corpus = haystack.isEmpty ? nil : try Corpus(paths: haystack)
        let grid = PasskeyGrid(
            lengths: try LengthList.check(retrieval.lengths ?? "512,1024"), depths: retrieval.depths,
            trials: retrieval.trials ?? 5, seed: retrieval.seed, maxTokens: retrieval.maxNew ?? 10,
            filler: corpus.map { .text($0.joinedText) } ?? .garbage, files: corpus?.paths ?? [])
        try await options.run(grid, models: retrieval.models)
    }
}
