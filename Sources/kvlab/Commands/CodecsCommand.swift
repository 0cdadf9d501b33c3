import ArgumentParser
import Evaluation
import Experiments
import Inference
import Kernels
import Text

/// `kvlab codecs`: an encoding for each layer within a budget of bytes.
struct CodecsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codecs", abstract: "Choose an encoding of the cache for each layer, within a budget of bytes.",
        discussion: """
            Each encoding is measured in each layer alone on the first windows of the text: its KL from the uncompressed cache. For a budget \
            the encodings of the least sum are chosen whose pages, of a decoding sequence of --context tokens, are within it. Prints what each \
            layer loses, the chosen caches beside each encoding in all layers, measured as a whole on these windows and on as many behind \
            them, and the commands that serve them: --kv-dtype takes the choice everywhere.
            """)

    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @Option(name: .customLong("kv-bits-budget"), help: "The most bytes of cache pages a token, repeatable.")
    var budgets: [Double] = []

    @Option(help: "Tokens of a sequence that bytes are counted for. Default: the model's positions.")
    var context: Int?

    @OptionGroup var options: TextOptions

    @Option(help: "Windows of the calibration; as many behind them are held out.")
    var limitWindows = 4

    @Option(
        name: .customLong("kv-dtype"),
        help: ArgumentHelp(
            "An encoding to choose from, repeatable. Default: \(LayerEncodingSearch.candidates.map(\.name).joined(separator: ", "))."
        ))
    var encodings: [KVEncoding] = []

    @Option(help: "A tokenizer.json or tokenizer.bin instead of the checkpoint's own.", completion: .file())
    var tokenizer: String?

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var results: JSONOptions

    func validate() throws {
        guard !budgets.isEmpty else { throw ValidationError("name a budget with --kv-bits-budget BYTES") }
        for budget in budgets where !budget.isFinite || budget <= 0 {
            throw ValidationError("--kv-bits-budget is \(budget), expected more than 0")
        }
        try checkRange("--context", context)
        try checkRange("--limit-windows", limitWindows)
        for (index, encoding) in encodings.enumerated() where encodings[..<index].contains(encoding) {
            throw ValidationError("--kv-dtype: '\(encoding.name)' is named twice")
        }
    }

    func run() throws {
        threads.apply()
        let model = try LoadedModel(path: checkpoint, tokenizerPath: tokenizer)
        let positions = model.model.config.maxSequence
        let context = context ?? positions
        guard context <= positions else {
            throw ValidationError("--context is \(context), \(checkpoint) has \(positions) positions")
        }
        var search = LayerEncodingSearch(budgets: budgets, context: context)
        search.windows = limitWindows
        if !encodings.isEmpty { search.candidates = encodings }
        let comparison = Comparison(window: try options.window(for: [model]), stride: options.stride, bos: options.bos)
        let found = try search.run(
            model, path: checkpoint, comparison, try options.read(), textName: options.text, reporter: ProgressReporter())
        if results.isJSON { try results.print(found) } else { try print(found.plain) }
    }
}
