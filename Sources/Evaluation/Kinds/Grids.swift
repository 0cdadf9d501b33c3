import Text

extension EvaluationKind {
    /// Passkey retrieval (``PasskeyGrid``).
    static let passkey = EvaluationKind(
        "passkey", "retrieval of a number from repeated sentences or a book",
        [
            EvaluationSetting(
                "haystack", .paths, "texts around the key; the original's repeated sentences unless given",
                example: .texts(["data/alice.txt"]))
        ] + grid(lengths: [512, 1024], trials: 5, maxNew: 10)
    ) { settings in
        let corpus = try settings.texts("haystack").map { try Corpus(paths: $0) }
        return .generation(
            PasskeyGrid(
                lengths: settings.integers("lengths"), depths: settings.integer("depths") ?? 10,
                trials: settings.integer("trials") ?? 5, seed: UInt64(settings.integer("seed") ?? 1),
                maxTokens: settings.integer("maxNew") ?? 10, filler: corpus.map { .text($0.joinedText) } ?? .garbage,
                files: corpus?.paths ?? []), .init())
    }

    /// The needle in a haystack (``NeedleGrid``).
    static let needle = EvaluationKind(
        "needle", "retrieval of a sentence from a book",
        [
            EvaluationSetting(
                "haystack", .paths, "texts around the needle", isRequired: true, example: .texts(["data/alice.txt"]))
        ] + grid(lengths: [1024, 2048], trials: 1, maxNew: 24) + [
            EvaluationSetting(
                "needle", .text, "the sentence to hide; one with a magic number unless given", example: .text("The key is red.")),
            EvaluationSetting("question", .text, "the question about `needle`", example: .text("The colour of the key is")),
            EvaluationSetting("answer", .text, "the words that a right output has, with `needle`", example: .text("red")),
            EvaluationSetting(
                "keys", .integer(1...NeedleGrid.mostKeys), "magic numbers of different things, of which one is asked for",
                default: .integer(1), example: .integer(4)),
        ]
    ) { settings in
        let own = ["needle", "question", "answer"].map { settings.text($0) }
        guard own.allSatisfy({ $0 != nil }) || own.allSatisfy({ $0 == nil }) else {
            throw EvaluationFault(nil, "'needle', 'question' and 'answer' belong together")
        }
        let keys = settings.integer("keys") ?? 1
        guard keys == 1 || own[0] == nil else { throw EvaluationFault("keys", "hides magic numbers, 'needle' a sentence") }
        let corpus = try Corpus(paths: settings.texts("haystack") ?? [])
        var grid = NeedleGrid(
            haystack: corpus.joinedText, files: corpus.paths,
            lengths: settings.integers("lengths"), depths: settings.integer("depths") ?? 10,
            trials: settings.integer("trials") ?? 1, seed: UInt64(settings.integer("seed") ?? 1),
            maxTokens: settings.integer("maxNew") ?? 24, keys: keys)
        if let text = own[0], let question = own[1], let answer = own[2] {
            grid.needle = NeedleGrid.Needle(text: text, question: question, answer: answer)
        }
        return .generation(grid, .init())
    }

    /// The settings of a grid of lengths and depths.
    private static func grid(lengths: [Int], trials: Int, maxNew: Int) -> [EvaluationSetting] {
        [
            EvaluationSetting(
                "lengths", .integers(1...10_000_000), EvaluationSetting.lengths, default: .integers(lengths),
                example: .integers([2048])),
            EvaluationSetting(
                "depths", .integer(1...1000), "places of the fact, from the prompt's beginning to its end", default: .integer(10),
                example: .integer(5)),
            EvaluationSetting(
                "trials", .integer(1...100_000), EvaluationSetting.trials, default: .integer(trials), example: .integer(50)),
            .seed, .maxNew(maxNew), .queryAware,
        ]
    }
}
