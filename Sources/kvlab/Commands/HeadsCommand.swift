import ArgumentParser
import Checkpoints
import Experiments
import Files
import Foundation
import Inference
import Models
import Text

/// `kvlab heads`: scores of a model's heads, by which policies keep all slots of some.
struct HeadsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "heads", abstract: "Measure which heads of a model need every slot, for policies that keep whole heads.",
        discussion: """
            For --evict duo-attention each KV head's attention is mixed of whole and streaming attention by a gate, and the gates are \
            trained on passkeys in --text until no answer changes: the method of DuoAttention. For razor-attention the attention to earlier \
            occurrences of random tokens, and to the tokens behind them, is measured, without a text: seconds.

            The file goes to --kv-scores, and is refused for another model.
            """)

    /// The policy that scores are for.
    enum Method: String, ExpressibleByArgument, CaseIterable {
        case duo = "duo-attention"
        case razor = "razor-attention"
    }

    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(help: "The policy that the scores are for: duo-attention or razor-attention.")
    var method = Method.duo

    @Option(
        parsing: .upToNextOption, help: "duo-attention: texts around the passkeys, one behind the other; old books are free.",
        completion: .file())
    var text: [String] = []

    @Option(help: "duo-attention: steps of a sequence each; the authors took 2000. Default: 200.")
    var steps: Int?

    @Option(
        help: """
            duo-attention: tokens of a sequence at most. Default: the model's positions, at most 2048. razor-attention: tokens that come \
            four times. Default: a quarter of the positions, at most 2500.
            """)
    var length: Int?

    @Option(help: "duo-attention: passkeys in a sequence. Default: 10.")
    var passkeys: Int?

    @Option(name: .customLong("kv-sinks"), help: "duo-attention: first tokens that a streaming head sees. Default: 128.")
    var sinks: Int?

    @Option(name: .customLong("kv-recent"), help: "duo-attention: newest tokens that a streaming head sees. Default: 256.")
    var recent: Int?

    @Option(help: "Seed of the sequences.")
    var seed: UInt64 = 1

    @Option(help: "The file to write.", completion: .file(extensions: ["json"]))
    var out: String

    @OptionGroup var output: OutputOption

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var results: JSONOptions

    func validate() throws {
        let own: [(String, Int?, ClosedRange<Int>)] = [
            ("--steps", steps, 1...1_000_000), ("--passkeys", passkeys, 1...16), ("--kv-sinks", sinks, 0...1 << 20),
            ("--kv-recent", recent, 1...1 << 20),
        ]
        for (option, value, range) in own {
            guard value == nil || method == .duo else { throw ValidationError("\(option) means nothing for razor-attention") }
            try checkRange(option, value, from: range.lowerBound, to: range.upperBound)
        }
        switch method {
        case .duo: if text.isEmpty { throw ValidationError("duo-attention needs --text, in which passkeys are hidden") }
        case .razor: if !text.isEmpty { throw ValidationError("--text means nothing for razor-attention") }
        }
    }

    private struct Report: Encodable {
        var model: String
        var file: String
        var scores: HeadScores
    }

    func run() throws {
        try output.check(out)
        threads.apply()
        let model = try LoadedModel(path: checkpoint)
        let config = model.model.config
        let layers = HeadGates.layers(of: config)
        guard !layers.isEmpty else {
            throw ValidationError("every layer of \(checkpoint) has a sliding window; no head keeps every slot")
        }
        let found =
            method == .duo
            ? try gates(model) : try repetitions(ServingModel(config: config, parameters: model.checkpoint.parameters))
        try AtomicFile.write(Array((CanonicalJSON.text(of: found) + "\n").utf8), to: out)
        if results.isJSON { return try results.print(Report(model: model.name, file: out, scores: found)) }
        for (name, rows) in found.scores.sorted(by: { $0.key < $1.key }) {
            for (layer, row) in zip(layers, rows) {
                try print("\(name), layer \(layer.layer): " + row.map { String(format: "%.3f", $0) }.joined(separator: " "))
            }
        }
        try print(
            "\(out): scores of \(layers.reduce(0) { $0 + $1.kvHeads }) KV heads for --evict \(method.rawValue) --kv-scores \(out)"
        )
    }

    private func gates(_ model: LoadedModel) throws -> HeadScores {
        var training = GateTraining(length: length ?? GateTraining.length)
        guard length ?? 0 <= model.model.config.maxSequence else {
            throw ValidationError("--length is \(training.length), \(checkpoint) has \(model.model.config.maxSequence) positions")
        }
        (training.steps, training.passkeys) = (steps ?? training.steps, passkeys ?? training.passkeys)
        (training.sinks, training.recent) = (sinks ?? training.sinks, recent ?? training.recent)
        let reporter = ProgressReporter()
        defer { reporter.clear() }
        return try training.scores(of: model, Corpus(paths: text).joinedText, seed: seed, reporter: reporter)
    }

    private func repetitions(_ model: ServingModel) throws -> HeadScores {
        let most = model.config.maxSequence / RepetitionScores.times
        guard (2...max(2, most)).contains(length ?? 2), most >= 2 else {
            throw ValidationError("--length is \(length ?? most), expected 2 to \(most), a quarter of the model's positions")
        }
        return try RepetitionScores.scores(of: model, count: length, seed: seed)
    }
}
