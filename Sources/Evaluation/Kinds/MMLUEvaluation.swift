/// MMLU (``MMLU``), by likelihood.
enum MMLUEvaluation: EvaluationKind {
    static let name = "mmlu"
    static let summary = "questions of four choices, by likelihood"
    static let abstract = "How often the right one of MMLU's four choices is the likeliest letter."
    static let discussion = """
        `data` is a folder with MMLU's files (github.com/hendrycks/test, data.tar), test/SUBJECT_test.csv and dev/SUBJECT_dev.csv, whose \
        first lines are the examples. The score is over all questions, whatever their subject; with several models the others are compared \
        with the first, paired over questions. Without a cache whole \
        sequences are scored; through one, evictions decide behind the examples.
        """
    static let settings: [EvaluationSetting] = [
        .folder("data", "the folder of the data", isRequired: true, example: "mmlu"),
        EvaluationSetting(
            "subjects", .texts, "subjects, such as anatomy,astronomy; by default all that `data` has",
            example: .texts(["anatomy"])),
        EvaluationSetting(
            "shots", .integer(0...100), "examples before each question, the first ones of dev", default: .integer(5),
            example: .integer(0)),
        .limit("questions of each subject"), .queryAware,
    ]

    static func make(_ settings: EvaluationSettings) throws -> EvaluationWork {
        let (data, shots) = (settings.word("data"), settings.count("shots"))
        let mmlu = try MMLU(settings.texts("subjects"), data: data, shots: shots, limit: settings.integer("limit"))
        let names = mmlu.subjects.map(\.name)
        let files = names.flatMap { (shots > 0 ? ["\(data)/dev/\($0)_dev.csv"] : []) + ["\(data)/test/\($0)_test.csv"] }
        var options = ["subjects": names.joined(separator: ","), "shots": "\(shots)"]
        options["limit"] = settings.integer("limit").map { "\($0)" }
        return .choices(
            .init(
                name: name, groups: mmlu.subjects.map { ($0.name, $0.items) }, metrics: ["acc"], files: files, options: options))
    }
}
