import ArgumentParser
import Console
import Evaluation
import Experiments
import Foundation
import Inference
import Kernels
import Models
import Recipes

/// `kvlab compare`: checkpoints side by side.
struct CompareCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare",
        abstract: "Compare checkpoints on one text: cache bytes, bits per byte, differences to the first.",
        discussion: """
            Differences are in bits per byte, with a standard error paired over windows. Perplexity and the KL divergence from the first \
            model are shown where all have one tokenizer. The smallest cache within --within percent of the first checkpoint's bits per byte \
            comes first, with the command that serves it.

            With --compression each checkpoint is measured through each of these caches, and through the uncompressed one: KL divergence from the \
            first model over an uncompressed fp32 cache, bits per byte, the most cache bytes that a sequence of --window tokens holds while it \
            decodes, decoding speed, and the sequences that fit where 32 of the first model's uncompressed ones do. Points that another one \
            beats in bytes and divergence are marked as dominated.
            """)

    @Argument(help: "Checkpoints; the first is what the others are measured against.", completion: .file(extensions: ["h5"]))
    var checkpoints: [String]

    @OptionGroup var options: TextOptions

    @Option(help: "Context tokens of the cache sizes shown. Default: 4096.")
    var context: Int?

    @Option(help: "Sequences of the cache sizes shown. Default: 1.")
    var batch: Int?

    @Option(help: "Encoding of the cache sizes shown, and of caches in --compression that set no dtype.")
    var kvDtype = CacheEncoding.standard

    @Option(
        name: .customLong("compression"),
        help: """
            A cache to measure the checkpoints through, repeatable: settings with commas between, such as evict=snapkv,budget=64,dtype=int8; the \
            keys are the names of --evict and of the flags that begin with --kv-.
            """)
    var caches: [String] = []

    @Option(
        help: """
            Tokens of a window's prompt, a BOS included, with --compression: policies decide at its end, and only what a position behind it \
            predicts is scored. Default: half of --window.
            """)
    var prefill: Int?

    @Option(
        help: "Bits per byte above the first checkpoint's, in percent of them, that the recommended cache may cost. Default: 1.")
    var within: Double?

    @Option(help: "Windows to score at most, from the text's beginning.")
    var limitWindows: Int?

    @Option(
        parsing: .upToNextOption,
        help: """
            Evaluations of every checkpoint beside the text: names of 'kvlab eval' with settings behind a colon, such as \
            passkey:lengths=512,1024,trials=50; the keys are those of recipes' lab.evaluation.tasks ('kvlab help recipe').
            """)
    var tasks: [String] = []

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var report: HTMLReportOption

    @OptionGroup var results: JSONOptions

    func validate() throws {
        guard context ?? 1 >= 1, batch ?? 1 >= 1 else { throw ValidationError("--context and --batch must be at least 1") }
        try checkRange("--limit-windows", limitWindows)
        if let within, !(0...1000).contains(within) {
            throw ValidationError("--within is \(within), expected 0 to 1000 percent")
        }
        _ = try taskSpecs()
        guard !caches.isEmpty else {
            guard prefill == nil else { throw ValidationError("--prefill has no effect without --compression") }
            return
        }
        if let option = [("--context", context), ("--batch", batch)].first(where: { $0.1 != nil })?.0 {
            throw ValidationError("\(option) has no effect with --compression, whose context is --window")
        }
        guard options.window != 1 else { throw ValidationError("--window is 1, expected at least 2 with --compression") }
        try options.check(prefill: prefill, window: options.window)
        _ = try specs()
    }

    private func specs() throws -> [CacheSpec] {
        try CacheSpec.all(caches, flag: "--compression", defaults: kvDtype, measuresHeads: true)
    }

    private func taskSpecs() throws -> [EvaluationSpec] {
        let specs = try tasks.map { text in
            do throws(EvaluationFault) { return try EvaluationSpec(text) } catch {
                throw ValidationError("--tasks \(text): \(error)")
            }
        }
        for (index, spec) in specs.enumerated() where specs[..<index].contains(spec) {
            throw ValidationError("--tasks names '\(spec)' twice")
        }
        return specs
    }

    func run() async throws {
        threads.apply()
        try report.check()
        let text = try options.read()
        let models = try checkpoints.map { try LoadedModel(path: $0) }
        let window = try options.window(for: models)
        try options.check(prefill: prefill, window: window)
        var comparison = Comparison(window: window, stride: options.stride, bos: options.bos)
        (comparison.contextTokens, comparison.batch, comparison.kvType) = (context ?? 4096, batch ?? 1, kvDtype)
        comparison.mostWindows = limitWindows
        let percent = within ?? LabRecipe.Evaluation.standardPercent
        let title = "\(options.text), window \(window), stride \(options.stride ?? window)"
        // Before anything is scored, so that a wrong setting costs no time.
        let tasks = try ComparisonTasks(taskSpecs(), models: models, caches: specs()) {
            ChatPolicy(rawValue: $0)?.evaluation
        }
        let reporter = ProgressReporter()
        func table(_ quality: MeasuredQuality) async throws -> TaskTable? {
            guard !self.tasks.isEmpty else { return nil }
            return try await comparison.tasks(
                tasks, models: models, paths: checkpoints, quality: quality, text: title, reporter: reporter)
        }
        if !caches.isEmpty {
            var (frontier, quality) = try comparison.frontier(
                models, text, title: title, caches: try specs(), prompt: prefill, reporter: reporter)
            comparison.recommend(in: &frontier, models, paths: checkpoints, withinPercent: percent)
            frontier.tasks = try await table(quality)
            return try show(frontier, frontier.recommendations ?? [], frontier.tasks) {
                HTMLReport(title: "kvlab compare --compression", frontier: frontier).html
            }
        }
        var (shown, quality) = try comparison.table(models, text, title: title, reporter: reporter)
        comparison.recommend(in: &shown, paths: checkpoints, withinPercent: percent)
        shown.tasks = try await table(quality)
        try show(shown, shown.recommendation.map { [$0] } ?? [], shown.tasks) {
            HTMLReport(title: "kvlab compare", table: shown).html
        }
    }

    private func show(
        _ table: some ResultTable, _ recommendations: [Recommendation], _ tasks: TaskTable?, html: () -> String
    ) throws {
        try report.write(html())
        if results.isJSON { return try results.print(table) }
        for recommendation in recommendations { try print(recommendation.plain + "\n") }
        try print(table.plain)
        if let tasks { try print("\n\(tasks.plain)\n\n\(tasks.verdicts.joined(separator: "\n"))") }
    }
}
