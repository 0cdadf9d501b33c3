import ArgumentParser
import Console
import Evaluation
import Experiments
import Inference
import Kernels
import Models

/// The options of all evaluations of long contexts.
struct LongContextOptions: ParsableArguments {
    @Option(
        name: .customLong("cache"),
        help: """
            A cache, repeatable: full, or settings with commas between, such as evict=snapkv,budget=256,dtype=bf16; the keys are the names \
            of --evict and of the flags that begin with --kv-. Default: full.
            """)
    var caches: [String] = []

    @Flag(help: ArgumentHelp(EvaluationSetting.queryAware.sentence))
    var queryAware = false

    @Option(help: "Element type of keys and values in caches that do not set a dtype. Default: fp32.")
    var kvDtype: CacheEncoding?

    @OptionGroup var paging: PageOptions

    @Option(
        name: .customLong("kv-memory"),
        help: "Cache memory: 512MiB, 2GiB, … Default: \(ByteCount.text(EngineOptions().cacheBytes)).")
    var memory: ByteCount?

    @Option(help: "Examples at once; the seconds to the first token are then of one among so many. Default: 1.")
    var concurrency: Int?

    @Option(help: "A tokenizer.json or tokenizer.bin instead of the checkpoints' own.", completion: .file())
    var tokenizer: String?

    @Option(
        help:
            "What products are multiplied in where choices are scored without a cache: fp32 (the default), or bf16 (faster; summed in fp32)."
    )
    var dtype: ComputePrecision?

    @OptionGroup var threads: ThreadsOption

    @Option(help: "The folder of the records; the same command goes on where it stopped.", completion: .directory)
    var out: String?

    @Option(
        help: """
            Where examples are reported as they finish: text, a line of progress on standard error (the default), or json, the record of each \
            on standard output, behind them the summary, a line too.
            """)
    var progress: ProgressFormat?

    enum ProgressFormat: String, ExpressibleByArgument, CaseIterable { case text, json }

    @OptionGroup var output: LongContextOutput

    func validate() throws {
        if progress == .json, output.results.pretty {
            throw ValidationError("--pretty has no effect with --progress json, which prints a line for each example")
        }
        try checkRange("--concurrency", concurrency, to: Scheduler.Limits().running)
        if queryAware, try !specs().contains(where: \.evicts) {
            throw ValidationError("--query-aware has no effect without a --cache that evicts")
        }
        _ = try specs()
    }

    func specs() throws -> [CacheSpec] {
        try CacheSpec.all(
            caches.isEmpty ? ["full"] : caches, flag: "--cache", defaults: paging.encoding(kvDtype ?? .float32))
    }

    /// Refuses evictions that decide before the questions of a task where nothing precedes these.
    func check(_ task: String, hasContext: Bool) throws {
        guard !hasContext, !queryAware, try specs().contains(where: \.evicts) else { return }
        throw ValidationError(
            "nothing precedes the questions of \(task), at whose beginning evictions would decide; use --query-aware")
    }

    /// Whether a cache is described.
    var isThroughCache: Bool {
        !caches.isEmpty || queryAware || kvDtype != nil || paging.page != nil || paging.kvResidual != nil
    }

    /// The first option given that means nothing without outputs; nil for none.
    var firstOfOutputs: String? {
        [
            ("--kv-memory", memory != nil), ("--concurrency", concurrency != nil), ("--out", out != nil),
            ("--progress", progress != nil), ("--html", output.report.html != nil),
        ].first(where: \.1)?.0
    }

    func run(
        _ task: some GenerationTask, models: [String], chat: LongContextEvaluation.Chat? = nil,
        scoring: ScoringTask.Options = .init()
    ) async throws {
        threads.apply()
        try output.report.check()
        var runner = ExampleRunner.Options()
        if let memory { runner.cacheBytes = memory.bytes }
        runner.pageBytes = paging.page?.bytes
        runner.concurrency = concurrency ?? 1
        runner.queryAware = queryAware
        runner.scoring = scoring
        let evaluation = LongContextEvaluation(
            task: task, models: models, tokenizerPath: tokenizer, caches: try specs(), options: runner, out: out, chat: chat)
        guard progress == .json else { return try output.write(try await evaluation.run(reporter: ProgressReporter())) }
        try output.write(try await evaluation.run(reporter: ProgressReporter(quiet: true)) { try printJSON($0) }, lines: true)
    }
}

/// The forms in which scores are written.
struct LongContextOutput: ParsableArguments {
    @OptionGroup var report: HTMLReportOption

    @OptionGroup var results: JSONOptions

    /// Writes the summary, with `lines` as a line of JSON in any case.
    func write(_ summary: LongContextSummary, lines: Bool = false) throws {
        try report.write(summary.html)
        if lines || results.isJSON { try results.print(summary as any ResultTable) } else { try print(summary.text) }
    }
}

extension CacheSpec {
    /// The configurations of a repeatable option called `flag`, each once.
    static func all(_ texts: [String], flag: String, defaults: CacheEncoding, measuresHeads: Bool = false) throws -> [CacheSpec] {
        let specs = try texts.map { text in
            do throws(InferenceError) {
                return try CacheSpec(text, defaults: defaults, measuresHeads: measuresHeads)
            } catch {
                throw ValidationError("\(flag): \(error)")
            }
        }
        for (index, spec) in specs.enumerated() where specs[..<index].contains(spec) {
            throw ValidationError("\(flag): '\(spec)' is named twice")
        }
        return specs
    }
}
