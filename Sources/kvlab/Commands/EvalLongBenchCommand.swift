import ArgumentParser
import Evaluation
import Experiments
import Foundation

/// `kvlab eval longbench`: LongBench's data sets, through the cache that serves.
struct EvalLongBenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "longbench", abstract: "LongBench's scores of models, for each data set and cache.",
        discussion: """
            --data is a folder with LongBench's files, DATASET.jsonl (THUDM/LongBench on Hugging Face), --config the folder \
            LongBench/config of its repository (github.com/THUDM/LongBench), whose prompts and numbers of new tokens are read, not copied. \
            Prompts run greedily through the engine that serves; longer ones than --max-length are cut in their middle, as LongBench does, before \
            --chat puts them into a chat template, in which LongBench never puts few-shot examples and code. Files DATASET_e.jsonl are \
            LongBench-E's, whose scores are given by length too.

            With --out each finished example is a line of records.jsonl at once, and the same command goes on where it stopped.
            """)

    @OptionGroup var suite: SuiteOptions

    @Option(help: "The folder of the data, DATASET.jsonl.", completion: .directory)
    var data: String

    @Option(help: "The folder of dataset2prompt.json and dataset2maxlen.json.", completion: .directory)
    var config: String

    @Option(help: "Data sets, such as hotpotqa,lcc; by default all that --data has.")
    var tasks: String?

    @Option(help: "Tokens of a prompt; longer ones are cut in their middle.")
    var maxLength = 3500

    @Option(
        help: "The folder of a jieba distribution (dict.txt and its HMM tables), which the Chinese data sets need.",
        completion: .directory)
    var jieba: String?

    @Option(help: "The ratio that lines of code are compared by: difflib, or indel as with python-Levenshtein installed.")
    var lineSimilarity = LineSimilarity.difflib

    @OptionGroup var options: LongContextOptions

    func validate() throws {
        guard maxLength >= 2 else { throw ValidationError("--max-length is \(maxLength), expected at least 2") }
        _ = try named()
    }

    private func named() throws -> [String]? {
        try tasks.map { try NameList.check($0, option: "--tasks", of: "data sets", known: LongBenchData.datasets) }
    }

    func run() async throws {
        let datasets =
            try named()
            ?? LongBenchData.datasets.filter { FileManager.default.fileExists(atPath: "\(data)/\($0).jsonl") }
        guard !datasets.isEmpty else {
            throw ValidationError("--data \(data) has none of LongBench's files, such as \(LongBenchData.datasets[0]).jsonl")
        }
        guard jieba != nil || !LongBenchData.needsJieba(datasets) else {
            throw ValidationError(
                "the Chinese data sets are scored on jieba's words; name its folder with --jieba, or others with --tasks")
        }
        let task = try LongBenchData(
            datasets: datasets, data: data, config: config,
            LongBenchData.Options(
                maxLength: maxLength, limit: suite.limit, maxTokens: suite.maxNew, lineSimilarity: lineSimilarity))
        let scoring = ScoringTask.Options(jieba: try jieba.map { try Jieba(folder: $0) }, lineSimilarity: lineSimilarity)
        try await options.run(task, models: suite.models, chat: suite.chat.evaluation, scoring: scoring)
    }
}
