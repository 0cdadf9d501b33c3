import ArgumentParser
import Evaluation
import Experiments
import Inference
import Models
import Text

/// `kvlab advise`: the cache to ship within a budget of bytes.
struct AdviseCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "advise", abstract: "Find the checkpoint and cache of least divergence within a budget of bytes.",
        discussion: """
            For each checkpoint, encoding and eviction policy the largest budget of slots is taken with which a sequence of --context tokens \
            never holds more than the bytes while it decodes: pages, scales, positions, and the slots that come between two decisions. These \
            candidates are scored on one window of the text, the better quarter on four, and the best few measured on all windows, as \
            'kvlab compare --compression' does. Divergence is from the first checkpoint over an uncompressed fp32 cache.
            """)

    @Argument(help: "The checkpoints; the first is the parent of the others.", completion: .file(extensions: ["h5"]))
    var checkpoints: [String]

    @Option(help: "The most cache bytes a token.")
    var budgetBytesPerToken: Double

    @Option(help: "Tokens of a sequence, a BOS included: the windows of the text.")
    var context: Int

    @Option(help: "Tokens of its prompt, at whose end policies decide. Default: half of --context.")
    var prefill: Int?

    @Option(help: "The text to measure on.", completion: .file())
    var text: String

    @OptionGroup var textFormat: TextFormatOptions

    @Option(help: "Windows of the text to measure on at most.")
    var limitWindows = 16

    @Option(name: .customLong("kv-dtype"), help: "An encoding to search, repeatable. Default: all.")
    var encodings: [CacheEncoding] = []

    @Option(
        name: .customLong("evict"),
        help: ArgumentHelp("An eviction policy to search, repeatable. Default: all but random.", valueName: "name"),
        completion: .list(CacheAdvisor.policies + ["random"]))
    var policies: [String] = []

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var report: HTMLReportOption

    @OptionGroup var results: JSONOptions

    func validate() throws {
        guard budgetBytesPerToken.isFinite, budgetBytesPerToken > 0 else {
            throw ValidationError("--budget-bytes-per-token is \(budgetBytesPerToken), expected more than 0")
        }
        try checkRange("--context", context, from: 2)
        try checkRange("--limit-windows", limitWindows)
        if let policy = policies.first(where: { !EvictionPolicies.names.contains($0) }) {
            throw ValidationError("--evict: \(InferenceError.noPolicy(policy))")
        }
        if let policy = policies.first(where: EvictionPolicies.namesWithoutBudget.contains) {
            throw ValidationError(
                "--evict \(policy) has no budget to find for --budget-bytes-per-token; compare --compression takes it")
        }
        if let policy = policies.first(where: EvictionPolicies.namesOfHeads.contains) {
            throw ValidationError(
                "--evict \(policy) goes by a measurement of one model's heads, and models are searched; compare --compression takes it"
            )
        }
    }

    func run() throws {
        threads.apply()
        try report.check()
        var advisor = CacheAdvisor(bytesPerToken: budgetBytesPerToken, context: context)
        (advisor.prompt, advisor.mostWindows) = (prefill, limitWindows)
        if !encodings.isEmpty { advisor.encodings = encodings }
        if !policies.isEmpty { advisor.policies = policies }
        let advice = try advisor.advise(
            try checkpoints.map { try LoadedModel(path: $0) }, paths: checkpoints,
            EvaluationText(Corpus([textFormat.source(text)]), splitOn: nil), textPath: text, reporter: ProgressReporter())
        try report.write(HTMLReport(title: "kvlab advise", frontier: advice.frontier).html)
        if results.isJSON { try results.print(advice) } else { try print(advice.plain) }
    }
}
