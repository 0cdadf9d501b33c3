import Text

/// The needle in a haystack (``NeedleGrid``).
enum NeedleEvaluation: EvaluationKind {
    static let name = "needle"
    static let summary = "retrieval of a sentence from a book"
    static let abstract = "How often models find a sentence in a book, for each length, depth and cache."
    static let discussion = """
        The needle of Kamradt (2023): a sentence between those of a text, asked for at the end. By default it tells a magic number, another \
        one in each prompt; `needle`, `question` and `answer` together name another. An output is right where all words of the answer \
        occur in it; records have ROUGE-1 recall of the needle beside that.
        """
    static let settings =
        [
            EvaluationSetting(
                "haystack", .files, "texts around the needle, one behind the other; old books are free", isRequired: true,
                example: .texts(["data/alice.txt"]))
        ]
        + EvaluationSetting.grid(
            lengths: [1024, 2048], depths: "evenly from the text's beginning to its end", trials: 1, maxNew: 24)
        + [
            EvaluationSetting(
                "needle", .text, "the sentence to hide; by default one with a magic number", example: .text("The key is red.")),
            EvaluationSetting(
                "question", .text, "the question about it, and the beginning of the answer if there is to be one",
                example: .text("The colour of the key is")),
            EvaluationSetting("answer", .text, "the words that a right output has", example: .text("red")),
            EvaluationSetting(
                "keys", .integer(1...NeedleGrid.mostKeys),
                "needles in a prompt, each of another thing, of which one is asked for: 1 to \(NeedleGrid.mostKeys)",
                default: .integer(1), example: .integer(4)),
        ]

    static func check(_ settings: EvaluationSettings) throws(EvaluationFault) {
        let own = ["needle", "question", "answer"].compactMap { settings.text($0) }
        guard own.isEmpty || own.count == 3 && !own.contains("") else {
            throw EvaluationFault(nil, "`needle`, `question` and `answer` belong together, and none is empty")
        }
        guard settings.count("keys") == 1 || own.isEmpty else {
            throw EvaluationFault("keys", "hides magic numbers, `needle` a sentence; name one")
        }
    }

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        let corpus = try Corpus(paths: settings.texts("haystack") ?? [])
        var grid = NeedleGrid(
            haystack: corpus.joinedText, files: corpus.paths, lengths: settings.integers("lengths"),
            depths: settings.count("depths"), trials: settings.count("trials"), seed: UInt64(settings.count("seed")),
            maxTokens: settings.count("maxNew"), keys: settings.count("keys"))
        if let text = settings.text("needle"), let question = settings.text("question"), let answer = settings.text("answer") {
            grid.needle = NeedleGrid.Needle(text: text, question: question, answer: answer)
        }
        return .generation(grid, .init())
    }
}
