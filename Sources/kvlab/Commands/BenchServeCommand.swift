import ArgumentParser
import Checkpoints
import Experiments
import Foundation
import Inference
import Kernels
import Logging
import Server
import Text

/// `kvlab bench serve`: what each architecture serves, through HTTP.
struct BenchServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Serve checkpoints one after the other under load and compare what their caches cost.",
        discussion: """
            Each checkpoint gets a server of its own on a free port of 127.0.0.1 and all of --kv-memory. Streamed completions of random \
            tokens come first --concurrency at a time (closed loop), then --rate a second at random times (open loop); by default \
            at 0.7 of the closed loop's requests/s. Prints throughput, times to the first token and per token, and the sequences that \
            the memory holds; --html writes the table and the plots against cache bytes per token.
            """)

    @Argument(help: "The checkpoints.", completion: .file(extensions: ["h5"]))
    var checkpoints: [String]

    @OptionGroup var load: LoadOptions

    @Option(help: "Requests a second of the open loop; 0 for none.")
    var rate: Double?

    @Option(name: .customLong("kv-memory"), help: "Cache memory.")
    var memory = ByteCount(EngineOptions().cacheBytes)

    @Option(help: "Element type of cached keys and values: fp32, bf16 or fp16.")
    var kvDtype = ElementType.float16

    @OptionGroup var paging: PageOptions

    @Option(help: "Threads; by default all processors this process may run on.")
    var threads: Int?

    @Option(help: "Also write the table and the plots as an HTML file.", completion: .file(extensions: ["html"]))
    var html: String?

    @Flag(help: "Print JSON.")
    var json = false

    func validate() throws {
        guard !checkpoints.isEmpty else { throw ValidationError("name at least one checkpoint") }
        guard rate.map({ $0 >= 0 && $0.isFinite }) ?? true else { throw ValidationError("--rate must be 0 or more") }
    }

    func run() async throws {
        if let threads { Parallel.setThreads(threads) }
        var rows: [ServingReport.Row] = []
        var pages: Set<Int> = []
        for path in checkpoints {
            FileHandle.standardError.write(Data("\(path): \(load.requests) requests, \(load.concurrency) at a time\n".utf8))
            let (row, pageBytes) = try await measure(path)
            rows.append(row)
            pages.insert(pageBytes)
        }
        let report = ServingReport(
            rows: rows,
            caption:
                "\(load.requests) requests of \(load.prompt) tokens, \(load.shared) of them shared, and \(load.tokens) generated; closed loop with \(load.concurrency) at a time; \(ByteCount.text(memory.bytes)) of \(kvDtype.flag) cache in pages of \(pages.sorted().map(ByteCount.text).joined(separator: " or ")); \(Parallel.threads) threads."
        )
        if let html { try TextFile.write(report.html, to: html) }
        guard json else {
            print(report.caption)
            return print(report.markdown)
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.nonConformingFloatEncodingStrategy = .convertToString(
            positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
        print(String(decoding: try encoder.encode(report.rows), as: UTF8.self))
    }

    /// One checkpoint behind a server, under both loads.
    private func measure(_ path: String) async throws -> (row: ServingReport.Row, pageBytes: Int) {
        let checkpoint = try ModelImport.load(path)
        let config = checkpoint.config
        guard load.prompt + load.tokens <= config.maxSequence else {
            throw ValidationError("\(path) has \(config.maxSequence) positions; choose a smaller --prompt or --tokens")
        }
        let id = URL(fileURLWithPath: path).deletingPathExtension().lastPathComponent
        let tokenizer: any Tokenizer = try checkpoint.tokenizer.map { try TokenizerFile.load($0, name: path) } ?? ByteTokenizer()
        let pageBytes = paging.bytes(for: [config], kvDtype)
        var options = EngineOptions()
        (options.cacheBytes, options.pageBytes, options.elementType) = (memory.bytes, pageBytes, kvDtype)
        let model = EngineModel(
            name: id, model: try ServingModel(config: config, parameters: checkpoint.parameters), tokenizer: tokenizer,
            stopIDs: [])
        let served = ServedModel(
            id: id, tokenizer: tokenizer, bosID: nil, eosIDs: [], chatTemplate: .plain, attention: config.attentionLabel)
        var listening = ServerOptions()
        listening.port = 0
        let server = ModelServer(
            engine: try Engine(models: [model], options: options), models: [served], options: listening,
            logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() })
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let serving = Task {
            defer { continuation.finish() }
            try await server.run { continuation.yield($0) }
        }
        defer { serving.cancel() }
        var iterator = ports.makeAsyncIterator()
        guard let port = await iterator.next() else {
            try await serving.value
            throw ValidationError("the server did not start")
        }
        var test = load.test(vocabulary: config.vocabularySize)
        test.port = port
        let closed = Self.load(try await test.run(model: id), rate: nil)
        var open: ServingReport.Load?
        let rate = rate ?? 0.7 * closed.requestsPerSecond
        if rate > 0 {
            test.rate = rate
            test.seed += 1
            open = Self.load(try await test.run(model: id), rate: rate)
        }
        let capacity = try CacheCapacity.measure(
            config, elementType: kvDtype, bytes: memory.bytes, pageBytes: pageBytes,
            context: load.prompt + load.tokens)
        let row = ServingReport.Row(
            model: id, attention: config.attentionLabel, kvBytesPerToken: capacity.bytesPerToken,
            sequencesHeld: capacity.sequences, closed: closed, open: open)
        return (row, pageBytes)
    }

    private static func load(_ it: LoadTest.Result, rate: Double?) -> ServingReport.Load {
        func latency(_ it: LoadTest.Percentiles) -> ServingReport.Latency { .init(p50: it.p50, p90: it.p90, p99: it.p99) }
        return ServingReport.Load(
            rate: rate, answered: it.answered, failed: it.failed, tokensPerSecond: it.tokensPerSecond,
            requestsPerSecond: it.requestsPerSecond, firstToken: latency(it.firstToken), perToken: latency(it.perToken))
    }
}
