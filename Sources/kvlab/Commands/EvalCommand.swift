import ArgumentParser
import Evaluation
import Experiments
import Foundation
import Inference
import Kernels
import Threads

/// `kvlab eval`: what a model knows.
struct EvalCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "eval", abstract: "Evaluate a checkpoint.",
        subcommands: [
            EvalPerplexityCommand.self, EvalBlimpCommand.self, EvalHellaswagCommand.self, EvalLambadaCommand.self,
        ])
}

extension WindowPolicy.BOS: ExpressibleByArgument {}

/// How text is read and cut, shared by `eval ppl` and `compare`.
struct TextOptions: ParsableArguments {
    @Option(help: "The UTF-8 text to score.", completion: .file())
    var text: String

    @Option(
        name: .customLong("split-on"),
        help: "Cut the text into documents at this string; each is stripped and encoded separately.")
    var splitOn: String?

    @Option(help: "Text tokens in a window; a BOS comes on top.")
    var window = 256

    @Option(help: "Tokens from one window's start to the next; below --window each token gets more context. Default: --window.")
    var stride: Int?

    @Option(
        help: "Where a BOS goes: always (each window), first (each document), never. Default: always where the tokenizer has one."
    )
    var bos: WindowPolicy.BOS?

    @Flag(help: "Score text that is not all UTF-8: invalid bytes count as U+FFFD, as Python's errors=\"replace\" reads them.")
    var replaceInvalid = false

    func validate() throws {
        guard window >= 1 else { throw ValidationError("--window is \(window), expected at least 1") }
        guard stride.map({ $0 >= 1 && $0 <= window }) ?? true else {
            throw ValidationError("--stride is \(stride ?? 0), expected 1 to --window (\(window))")
        }
        guard splitOn != "" else { throw ValidationError("--split-on is empty") }
    }

    func read() throws -> EvaluationText {
        EvaluationText(try TextFile.read(text, replacingInvalid: replaceInvalid), splitOn: splitOn)
    }
}

/// `kvlab eval ppl`: perplexity and bits per byte.
struct EvalPerplexityCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "ppl", abstract: "Perplexity and bits per byte of a checkpoint on a text.",
        discussion: """
            Each token is scored exactly once, but for those that nothing precedes (without a BOS the first token of a window, or of a \
            document where windows overlap). Bits per byte count the UTF-8 bytes of the text scored.
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

    @Option(help: "Threads; by default all processors this process may run on.")
    var threads: Int?

    @Flag(help: "Score as it would be served: weights in their own type, keys and values in pages, stored as --kv-dtype.")
    var throughCache = false

    @Option(help: "Element type of cached keys and values, with --through-cache. Default: fp32.")
    var kvDtype: KVEncoding?

    @OptionGroup(title: "With --through-cache") var paging: PageOptions

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        if throughCache {
            guard dtype == nil else {
                throw ValidationError("--dtype has no effect with --through-cache, which multiplies in the weights' own type")
            }
        } else {
            guard kvDtype == nil, paging.page == nil else {
                throw ValidationError("\(kvDtype == nil ? "--page" : "--kv-dtype") has no effect without --through-cache")
            }
        }
    }

    func run() throws {
        if let threads { Parallel.setThreads(threads) }
        var model = try LoadedModel(path: checkpoint, tokenizerPath: tokenizer)
        model.model.compute.precision = dtype ?? .fp32
        let comparison = Comparison(window: options.window, stride: options.stride, bos: options.bos)
        let encoding = kvDtype ?? .float32
        let pageBytes = paging.bytes(for: [model.model.config], encoding)
        let start = ContinuousClock.now
        let text = try options.read()
        let result =
            throughCache
            ? try comparison.scoreThroughCache(
                model, text, encoding: encoding, pageBytes: pageBytes, reporter: ProgressReporter())
            : try comparison.score(model, text, reporter: ProgressReporter())
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let policy = try model.policy(window: options.window, stride: options.stride, bos: options.bos)
        if json {
            let report = Report(
                model: model.name, perplexity: result.perplexity, bitsPerByte: result.bitsPerByte,
                tokensScored: result.tokensScored,
                bytesScored: result.bytesScored, nll: result.nll, window: policy.window, stride: policy.stride,
                bos: policy.bos.rawValue,
                dtype: throughCache ? nil : dtype ?? .fp32, kvDtype: throughCache ? encoding.name : nil,
                pageBytes: throughCache ? pageBytes : nil, windows: result.windows.count, seconds: seconds,
                tokensPerSecond: Double(result.tokensScored) / seconds)
            try printJSON(report)
        } else {
            try print(String(format: "perplexity     %.5f", result.perplexity))
            try print(String(format: "bits per byte  %.5f", result.bitsPerByte))
            try print(String(format: "nll            %.3f nats", result.nll))
            try print("tokens scored  \(result.tokensScored) (\(result.bytesScored) bytes, \(result.windows.count) windows)")
            let way =
                throughCache
                ? "\(encoding.name) cache in pages of \(ByteCount.text(pageBytes))" : "\((dtype ?? .fp32).rawValue) products"
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
        /// What products are multiplied in; nil through the cache.
        var dtype: ComputePrecision?
        var kvDtype: String?
        var pageBytes: Int?
        var windows: Int
        var seconds: Double
        var tokensPerSecond: Double
    }
}
