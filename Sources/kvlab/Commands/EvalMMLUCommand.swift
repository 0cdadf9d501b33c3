import ArgumentParser
import Evaluation

/// `kvlab eval mmlu`: MMLU by likelihood.
struct EvalMMLUCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "mmlu", abstract: "How often the right one of MMLU's four choices is the likeliest letter.",
        discussion: """
            --data is a folder with MMLU's files (github.com/hendrycks/test, data.tar), test/SUBJECT_test.csv and dev/SUBJECT_dev.csv, whose \
            first lines are the examples. The score is over all questions, whatever their subject; with several models the others are compared \
            with the first, paired over questions. Whole sequences are scored without a cache.
            """)

    @Argument(help: "Checkpoints; the others are compared with the first.", completion: .file(extensions: ["h5"]))
    var models: [String]

    @Option(help: "The folder of the data.", completion: .directory)
    var data: String

    @Option(help: "Subjects, such as anatomy,astronomy; by default all that --data has.")
    var subjects: String?

    @Option(help: "Examples before each question, the first ones of dev.")
    var shots = 5

    @Option(help: "Score the first so many questions of each subject only.")
    var limit: Int?

    @OptionGroup var likelihood: LikelihoodOptions

    func validate() throws {
        guard (0...100).contains(shots) else { throw ValidationError("--shots is \(shots), expected 0 to 100") }
        if let limit, limit < 1 { throw ValidationError("--limit is \(limit), expected at least 1") }
        guard subjects?.split(separator: ",", omittingEmptySubsequences: false).contains("") != true else {
            throw ValidationError("--subjects has an empty name")
        }
    }

    func run() throws {
        let mmlu = try MMLU(
            subjects?.split(separator: ",").map(String.init), data: data, shots: shots, limit: limit)
        try likelihood.evaluation(of: models).run("mmlu", mmlu.subjects.map { ($0.name, $0.items) }, metrics: ["acc"])
    }
}
