import ArgumentParser
import Evaluation
import Experiments
import Foundation
import Inference
import Kernels
import Models
import Text

/// `kvlab eval`: the evaluations of a checkpoint.
struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval", abstract: "Evaluate a checkpoint.",
        subcommands: byLikelihood + [EvalScoreCommand.self] + EvaluationKinds.all.map { command($0) }
            + [EvalRescoreCommand.self])

    private static let byLikelihood: [any ParsableCommand.Type] = [
        EvalPerplexityCommand.self, EvalBlimpCommand.self, EvalHellaswagCommand.self, EvalLambadaCommand.self,
    ]

    /// The command of an evaluation in the table.
    private static func command<Kind: EvaluationKind>(_ kind: Kind.Type) -> any ParsableCommand.Type {
        EvaluationCommand<Kind>.self
    }
}

extension WindowPolicy.BOS: ExpressibleByArgument {}

/// Options of the text and its windows, shared by `eval ppl` and `compare`.
struct TextOptions: ParsableArguments {
    @Option(
        help: """
            The text to score: a UTF-8 file, JSON Lines by the name .jsonl, either of them as gzip or zstd; a folder, or a pattern in quotes.
            """, completion: .file())
    var text: String

    @OptionGroup var textFormat: TextFormatOptions

    @Option(
        name: .customLong("split-on"),
        help: "Cut plain text into documents at this string; each is stripped and encoded separately.")
    var splitOn: String?

    @Option(help: "Text tokens in a window; a BOS comes on top. Default: 1024, or the model's positions where it has fewer.")
    var window: Int?

    @Option(help: "Tokens from one window's start to the next; below --window each token gets more context. Default: --window.")
    var stride: Int?

    @Option(
        help: "Where a BOS goes: always (each window), first (each document), never. Default: always where the tokenizer has one."
    )
    var bos: WindowPolicy.BOS?

    @Flag(help: "Score text that is not all UTF-8: invalid bytes count as U+FFFD, as Python's errors=\"replace\" reads them.")
    var replaceInvalid = false

    func validate() throws {
        try checkRange("--window", window)
        try checkStride(window: window ?? .max)
        guard splitOn != "" else { throw ValidationError("--split-on is empty") }
    }

    private func checkStride(window: Int) throws {
        guard stride.map({ $0 >= 1 && $0 <= window }) ?? true else {
            throw ValidationError(
                "--stride is \(stride ?? 0), expected " + (window == .max ? "at least 1" : "1 to --window (\(window))"))
        }
    }

    /// Throws where a window has no tokens behind `prefill`; a window of nil is not known yet.
    func check(prefill: Int?, window: Int?) throws {
        guard let prefill, prefill < 1 || prefill >= window ?? .max else { return }
        let limit = window.map { "1 to \($0 - 1)" } ?? "at least 1"
        throw ValidationError("--prefill is \(prefill), expected \(limit), less than the tokens of --window")
    }

    /// The tokens of a window for all of `models`: those given, else 1,024 or the fewest positions of a model.
    func window(for models: [LoadedModel]) throws -> Int {
        let window = window ?? models.map(\.model.config.maxSequence).reduce(1024, min)
        try checkStride(window: window)
        return window
    }

    func read() throws -> EvaluationText {
        try EvaluationText(Corpus([textFormat.source(text)], replacingInvalid: replaceInvalid), splitOn: splitOn)
    }
}

/// `kvlab eval ppl`: perplexity and bits per byte.
struct EvalPerplexityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ppl", abstract: "Perplexity and bits per byte of a checkpoint on a text.",
        discussion: """
            Each token is scored exactly once, but for those that nothing precedes (without a BOS the first token of a window, or of a \
            document where windows overlap). Bits per byte count the UTF-8 bytes of the text scored. Through the cache, the divergence from \
            the same model over an uncompressed fp32 cache is measured too; bytes a token are those of the pages at a window's end.
            """)

    @Argument(help: "The checkpoint.", completion: .file(extensions: ["h5"]))
    var checkpoint: String

    @OptionGroup var options: TextOptions

    @Option(help: "A tokenizer.json or tokenizer.bin instead of the checkpoint's own.", completion: .file())
    var tokenizer: String?

    @Option(
        help:
            "What the matrix products are multiplied in: fp32, or bf16 (faster; summed in fp32). Default: fp32; with --through-cache the weights' own type."
    )
    var dtype: ComputePrecision?

    @OptionGroup var threads: ThreadsOption

    @Flag(help: "Score as it would be served: weights in their own type, keys and values in pages, stored as --kv-dtype.")
    var throughCache = false

    @Option(help: "Encoding of cached keys and values, with --through-cache. Default: fp32, the reference of KL.")
    var kvDtype: CacheEncoding?

    @OptionGroup(title: "With --through-cache") var paging: PageOptions

    @OptionGroup(title: "Eviction, with --through-cache") var eviction: EvictionOptions

    @Option(
        help: """
            Tokens of a window's prompt, a BOS included, with --through-cache: policies decide at its end, and only what a position \
            behind it predicts is scored.
            """)
    var prefill: Int?

    @Option(help: "Windows to score at most, from the text's beginning.")
    var limitWindows: Int?

    @OptionGroup var results: JSONOptions

    func validate() throws {
        try checkRange("--limit-windows", limitWindows)
        if throughCache {
            guard dtype == nil else {
                throw ValidationError("--dtype has no effect with --through-cache, which multiplies in the weights' own type")
            }
            try options.check(prefill: prefill, window: options.window)
            if prefill == nil, let retention = try eviction.retention() as? EvictionRetention, retention.needsPrompt {
                throw ValidationError("\(InferenceError.policyWithoutPrompt(policy: retention.name))")
            }
        } else {
            let given = [
                ("--kv-dtype", kvDtype != nil), ("--page", paging.page != nil), ("--kv-residual", paging.kvResidual != nil),
                ("--evict", eviction.settings.policy != nil), ("--prefill", prefill != nil),
            ]
            if let option = given.first(where: \.1)?.0 {
                throw ValidationError("\(option) has no effect without --through-cache")
            }
        }
    }

    func run() throws {
        threads.apply()
        let encoding = try paging.encoding(kvDtype ?? .float32)
        var model = try LoadedModel(path: checkpoint, tokenizerPath: tokenizer)
        model.model.compute.precision = dtype ?? .fp32
        let window = try options.window(for: [model])
        try options.check(prefill: prefill, window: window)
        var comparison = Comparison(window: window, stride: options.stride, bos: options.bos)
        comparison.mostWindows = limitWindows
        let retention = try eviction.retention()
        var cache = EvaluationCache(
            encoding: encoding, retention: retention,
            pageBytes: paging.bytes(for: [model.model.config], encoding, under: retention))
        cache.prompt = prefill ?? 0
        let start = ContinuousClock.now
        let text = try options.read()
        let cached =
            throughCache ? try comparison.scoreThroughCache(model, text, cache: cache, reporter: ProgressReporter()) : nil
        let result = try cached?.score ?? comparison.score(model, text, reporter: ProgressReporter())
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let policy = try model.policy(window: window, stride: options.stride, bos: options.bos)
        if results.isJSON {
            let report = Report(
                model: model.name, perplexity: result.perplexity, bitsPerByte: result.bitsPerByte,
                tokensScored: result.tokensScored,
                bytesScored: result.bytesScored, nll: result.nll, window: policy.window, stride: policy.stride,
                bos: policy.bos.rawValue,
                dtype: throughCache ? nil : dtype ?? .fp32, kvDtype: throughCache ? encoding.name : nil,
                pageBytes: throughCache ? cache.pageBytes : nil, evict: eviction.settings.policy,
                kvBudget: eviction.settings.budget?.description, prefill: prefill, klToFull: cached?.klToFull,
                bytesPerToken: cached?.bytesPerToken, sidecarBytesPerToken: cached?.sidecarBytesPerToken,
                slotsKept: cached?.slotsKept, windows: result.windows.count, seconds: seconds,
                tokensPerSecond: Double(result.tokensScored) / seconds)
            try results.print(report)
        } else {
            try print(String(format: "perplexity     %.5f", result.perplexity))
            try print(String(format: "bits per byte  %.5f", result.bitsPerByte))
            try print(String(format: "nll            %.3f nats", result.nll))
            try print("tokens scored  \(result.tokensScored) (\(result.bytesScored) bytes, \(result.windows.count) windows)")
            if let cached {
                try print(String(format: "KL to full     %.6f nats a token", cached.klToFull))
                try print(
                    String(
                        format: "cache          %.1f bytes a token, and %.1f beside the pages; %.1f slots at a window's end",
                        cached.bytesPerToken, cached.sidecarBytesPerToken, cached.slotsKept))
            }
            let way =
                throughCache
                ? "\(encoding.name) cache in pages of \(ByteCount.text(cache.pageBytes))\(eviction.text.map { ", \($0)" } ?? "")"
                : "\((dtype ?? .fp32).rawValue) products"
            try print(
                "window \(policy.window), stride \(policy.stride), BOS \(policy.bos.rawValue), \(way), \(Int(Double(result.tokensScored) / seconds)) tokens/s"
            )
        }
    }

    private struct Report: Encodable {
        var model: String
        var perplexity: Double
        var bitsPerByte: Double
        var tokensScored: Int
        var bytesScored: Int
        var nll: Double
        var window: Int
        var stride: Int
        var bos: String
        /// Precision of the products; nil through the cache.
        var dtype: ComputePrecision?
        var kvDtype: String?
        var pageBytes: Int?
        var evict: String?
        var kvBudget: String?
        var prefill: Int?
        /// Nats a scored token; this and the figures below only through the cache.
        var klToFull: Double?
        /// Bytes of pages, and of the sidecar, at a window's end, a token of the window.
        var bytesPerToken: Double?
        var sidecarBytesPerToken: Double?
        /// Slots at a window's end, a layer.
        var slotsKept: Double?
        var windows: Int
        var seconds: Double
        var tokensPerSecond: Double
    }
}
