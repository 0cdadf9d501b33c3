import ArgumentParser
import Evaluation
import Experiments
import Foundation

/// Options shared by the likelihood tasks.
struct ChoiceOptions: ParsableArguments {
    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(help: "The task's items, a JSON object a line.", completion: .file())
    var data: String

    @Option(help: "Score the first so many items only.")
    var limit: Int?

    @OptionGroup var likelihood: LikelihoodOptions

    func validate() throws { try checkRange("--limit", limit) }

    private struct Report: Encodable {
        var task: String
        var model: String
        var items: Int
        var acc: Double
        var acc_norm: Double?
        var acc_bytes: Double?
        var perplexity: Double?
        var acc_stderr: Double
    }

    func run(_ task: ChoiceTask) throws {
        let results = likelihood.results
        let model = try likelihood.evaluation(of: [checkpoint]).model(checkpoint)
        let reporter = ProgressReporter(quiet: results.isJSON)
        let score: ChoiceScore
        do {
            var items = try task.items(try TextFile.read(data))
            if let limit { items = Array(items.prefix(limit)) }
            score = try ChoiceScore.evaluate(
                model.model, tokenizer: model.tokenizer, bosID: model.bosID, prefixID: model.prefixID, items
            ) { done, count in reporter.progress("scoring choices  \(done)/\(count)") }
        } catch let error as ChoiceTaskError { throw CommandFailure(description: "\(data): \(error)") }
        reporter.clear()
        let isGuess = task == .lambada
        let report = Report(
            task: task.rawValue, model: model.name, items: score.items, acc: isGuess ? score.greedyAccuracy : score.accuracy,
            acc_norm: isGuess ? nil : score.normalizedAccuracy, acc_bytes: isGuess ? nil : score.byteAccuracy,
            perplexity: isGuess ? score.perplexity : nil, acc_stderr: score.standardError)
        if results.isJSON {
            try results.print(report)
            return
        }
        try print(String(format: "acc         %.4f ± %.4f", report.acc, report.acc_stderr))
        if let value = report.acc_norm { try print(String(format: "acc_norm    %.4f   by characters", value)) }
        if let value = report.acc_bytes { try print(String(format: "acc_bytes   %.4f", value)) }
        if let value = report.perplexity { try print(String(format: "perplexity  %.4f", value)) }
        try print("items       \(report.items)")
    }
}

/// `kvlab eval blimp`
struct EvalBlimpCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "blimp", abstract: "How often the grammatical sentence of a BLiMP pair is the likelier.")
    @OptionGroup var options: ChoiceOptions
    func run() throws { try options.run(.blimp) }
}

/// `kvlab eval hellaswag`
struct EvalHellaswagCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "hellaswag",
        abstract: "How often HellaSwag's right ending is the likeliest, by sum, by character and by byte.")
    @OptionGroup var options: ChoiceOptions
    func run() throws { try options.run(.hellaswag) }
}

/// `kvlab eval lambada`
struct EvalLambadaCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lambada", abstract: "How often LAMBADA's last word is what greedy decoding gives, and its perplexity.")
    @OptionGroup var options: ChoiceOptions
    func run() throws { try options.run(.lambada) }
}
