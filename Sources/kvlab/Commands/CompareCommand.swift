import ArgumentParser
import Console
import Experiments
import Foundation
import Kernels

/// `kvlab compare`: checkpoints side by side.
struct CompareCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compare checkpoints on one text: cache bytes, bits per byte, differences to the first.",
        discussion: """
            Differences are in bits per byte, with a standard error paired over windows. Perplexity and the KL divergence from the first \
            model are shown where all have one tokenizer.
            """)

    @Argument(help: "Checkpoints; the first is what the others are measured against.", completion: .file(extensions: ["h5"]))
    var checkpoints: [String]

    @OptionGroup var options: TextOptions

    @Option(help: "Context tokens of the cache sizes shown.")
    var context = 4096

    @Option(help: "Sequences of the cache sizes shown.")
    var batch = 1

    @Option(help: "Encoding of the cache sizes shown.")
    var kvDtype = KVEncoding.standard

    @OptionGroup var threads: ThreadsOption

    @Option(help: "Also write the comparison as an HTML report.", completion: .file(extensions: ["html"]))
    var html: String?

    @OptionGroup var results: JSONOptions

    func validate() throws {
        guard context >= 1, batch >= 1 else { throw ValidationError("--context and --batch must be at least 1") }
    }

    func run() throws {
        threads.apply()
        let text = try options.read()
        let models = try checkpoints.map { try LoadedModel(path: $0) }
        let window = try options.window(for: models)
        let comparison = Comparison(
            contextTokens: context, batch: batch, kvType: kvDtype, window: window, stride: options.stride, bos: options.bos)
        let title = "\(options.text), window \(window), stride \(options.stride ?? window)"
        let table = try comparison.table(models, text, title: title, reporter: ProgressReporter())
        if let html {
            try TextFile.write(HTMLReport(title: "kvlab compare", table: table).html, to: html, links: .followed)
        }
        if results.isJSON { try results.print(table) } else { try print(table.plain) }
    }
}
