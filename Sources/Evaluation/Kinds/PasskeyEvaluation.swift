import Text

/// Passkey retrieval (``PasskeyGrid``).
enum PasskeyEvaluation: EvaluationKind {
    static let name = "passkey"
    static let summary = "retrieval of a number from repeated sentences or a book"
    static let abstract = "How often models find a number in a long text, for each length, depth and cache."
    static let discussion = """
        The prompts are those of Mohtashami and Jaggi (2023): a key between two stretches of repeated sentences, asked for at the end. \
        All models and caches get the same keys, greedily and through the engine that serves; beginnings that prompts share are \
        computed once. With several models or caches the first is what the others are compared with, paired over examples. Caches that \
        evict decide before the question, unless `queryAware` says otherwise.
        """
    static let settings =
        [
            EvaluationSetting(
                "haystack", .files, "texts around the key in place of the repeated sentences, one behind the other",
                example: .texts(["data/alice.txt"]))
        ] + EvaluationSetting.grid(lengths: [512, 1024], depths: "the middles of so many equal parts", trials: 5, maxNew: 10)

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        let corpus = try settings.texts("haystack").map { try Corpus(paths: $0) }
        return .generation(
            PasskeyGrid(
                lengths: settings.integers("lengths"), depths: settings.count("depths"), trials: settings.count("trials"),
                seed: UInt64(settings.count("seed")), maxTokens: settings.count("maxNew"),
                filler: corpus.map { .text($0.joinedText) } ?? .garbage, files: corpus?.paths ?? []), .init())
    }
}
