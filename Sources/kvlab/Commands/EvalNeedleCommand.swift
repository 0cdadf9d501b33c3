import ArgumentParser
import Evaluation
import Experiments
import Text

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

    @OptionGroup var retrieval: RetrievalOptions

    @Option(
        parsing: .upToNextOption, help: "Texts around the needle, one behind the other; old books are free.", completion: .file())
    var haystack: [String]

    @Option(help: "The sentence to hide; by default one with a magic number.")
    var needle: String?

    @Option(help: "The question about it, and the beginning of the answer if there is to be one.")
    var question: String?

    @Option(help: "The words that a right output has.")
    var answer: String?

    @Option(help: "Needles in a prompt, each of another thing, of which one is asked for: 1 to \(NeedleGrid.mostKeys).")
    var keys = 1

    @OptionGroup var options: LongContextOptions

    func validate() throws {
        let own = [needle, question, answer].compactMap { $0 }
        guard own.isEmpty || own.count == 3 && !own.contains("") else {
            throw ValidationError("--needle, --question and --answer belong together, and none is empty")
        }
        guard (1...NeedleGrid.mostKeys).contains(keys) else {
            throw ValidationError("--keys is \(keys), expected 1 to \(NeedleGrid.mostKeys)")
        }
        guard keys == 1 || own.isEmpty else { throw ValidationError("--keys hides magic numbers, --needle a sentence; name one") }
    }

    func run() async throws {
        let corpus = try Corpus(paths: haystack)
        var grid = NeedleGrid(
            haystack: corpus.joinedText, files: corpus.paths, lengths: try LengthList.check(retrieval.lengths ?? "1024,2048"),
            depths: retrieval.depths, trials: retrieval.trials ?? 1, seed: retrieval.seed, maxTokens: retrieval.maxNew ?? 24,
            keys: keys)
        if let needle, let question, let answer {
            grid.needle = NeedleGrid.Needle(text: needle, question: question, answer: answer)
        }
        try await options.run(grid, models: retrieval.models)
    }
}
