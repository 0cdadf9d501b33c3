import ArgumentParser
import Evaluation
import Experiments
import Foundation
import Kernels

/// What the likelihood tasks share on the command line.
struct ChoiceOptions: ParsableArguments {
    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(help: "The task's items, a JSON object a line.", completion: .file())
    var data: String

    @Option(help: "Score the first so many items only.")
    var limit: Int?

    @Option(help: "A tokenizer.json or tokenizer.bin instead of the checkpoint's own.", completion: .file())
    var tokenizer: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        if let limit, limit < 1 { throw ValidationError("--limit is \(limit), expected at least 1") }
    }

    private struct Report: Encodable {
        var task: String
        var model: String
        var items: Int
        var accuracy: Double?
        var normalizedAccuracy: Double?
        var perplexity: Double?
        var standardError: Double
    }

    func run(_ task: ChoiceTask) throws {
        let model = try LoadedModel(path: checkpoint, tokenizerPath: tokenizer)
        var items: [ChoiceItem]
        do { items = try task.items(try TextFile.read(data)) } catch let error as ChoiceTaskError {
            throw ValidationError("\(data): \(error)")
        }
        if let limit { items = Array(items.prefix(limit)) }
        let score = try ChoiceScore.evaluate(model.model, tokenizer: model.tokenizer, bosID: model.bosID, items)
        let isGuess = task == .lambada
        let report = Report(
            task: task.rawValue, model: model.name, items: score.items,
            accuracy: isGuess ? score.greedyAccuracy : score.accuracy,
            normalizedAccuracy: task == .hellaswag ? score.normalizedAccuracy : nil,
            perplexity: isGuess ? score.perplexity : nil, standardError: score.standardError)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
            return
        }
        print(String(format: "accuracy       %.4f ± %.4f", report.accuracy ?? 0, report.standardError))
        if let value = report.normalizedAccuracy { print(String(format: "normalised     %.4f", value)) }
        if let value = report.perplexity { print(String(format: "perplexity     %.4f", value)) }
        print("items          \(report.items)")
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
        commandName: "hellaswag", abstract: "How often HellaSwag's right ending is the likeliest, by sum and by byte.")
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
