import ArgumentParser
import Evaluation
import Experiments

/// `kvlab eval rescore`: the scores of recorded outputs anew, without a model.
struct EvalRescoreCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rescore", abstract: "Score the records of an evaluation anew, without a model.",
        discussion: """
            The folder is an evaluation's --out. Its records are scored by the rules of this kvlab, and records.jsonl and summary.json are \
            written anew; outputs stay as they are. LongBench's Chinese data sets need --jieba again.
            """)

    @Argument(help: "The folder of the records.", completion: .directory)
    var folder: String

    @Option(
        help: "The folder of a jieba distribution (dict.txt and its HMM tables), which the Chinese data sets need.",
        completion: .directory)
    var jieba: String?

    @Option(help: "The ratio that lines of code are compared by, difflib or indel; by default the one recorded.")
    var lineSimilarity: LineSimilarity?

    @OptionGroup var output: LongContextOutput

    func run() throws {
        try output.report.check()
        let (summary, changed) = try RecordFolder.rescore(
            folder, jieba: try jieba.map { try Jieba(folder: $0) }, lineSimilarity: lineSimilarity)
        try output.write(summary)
        note("\(changed) scores changed")
    }
}
