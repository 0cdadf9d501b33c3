import ArgumentParser
import Benchmarking
import Checkpoints
import Experiments
import Foundation
import Inference
import Kernels
import Logging
import Models
import Server
import Text
import Threads

/// `kvlab bench serve`: throughput and latency of each architecture through HTTP.
struct BenchServeCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "serve", abstract: "Serve checkpoints in turn under load and compare what their caches cost.",
        discussion: """
            In each of --rounds, each checkpoint in its turn gets a server of its own on a free port of 127.0.0.1, all of \
            --kv-memory, and one request that isn't measured. Streamed completions of random tokens come first --concurrency at \
            a time (closed loop), then --rate a second at random times (open loop); by default at 0.7 of the first round's \
            closed loop's requests/s. Prints medians and ranges of throughput and of times to the first token and per token, and the \
            sequences that the memory holds; --html writes the table and the plots against cache bytes per token. The clients run \
            in the server's process, on its cores: `kvlab serve` and `kvlab bench load` keep them apart.
            """)

    @Argument(help: "The checkpoints.", completion: .file(extensions: ["h5"]))
    var checkpoints: [String]

    @OptionGroup var load: LoadOptions

    @Option(help: "Requests a second of the open loop; 0 for none.")
    var rate: Double?

    @Option(help: "Rounds, in each of which every checkpoint has its turn.")
    var rounds = 3

    @Option(name: .customLong("kv-memory"), help: "Cache memory.")
    var memory = ByteCount(EngineOptions().cacheBytes)

    @Option(help: "Encoding of cached keys and values.")
    var kvDtype = CacheEncoding.standard

    @OptionGroup var paging: PageOptions

    @OptionGroup(title: "Eviction") var eviction: EvictionOptions

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var html: HTMLReportOption

    @OptionGroup var results: JSONOptions

    func validate() throws {
        try LoadOptions.check(rate: rate, allowsZero: true)
        try checkRange("--rounds", rounds, to: 1000)
    }

    /// One checkpoint and the results of its rounds.
    private struct Contender {
        let id: String, path: String, attention: String
        let pageBytes: Int
        let capacity: CacheCapacity
        let model: EngineModel
        /// Requests a second of the open loop; nil until the first closed loop, 0 for none.
        var rate: Double?
        var closed: [ServingLoad.Round] = [], open: [ServingLoad.Round] = []
    }

    func run() async throws {
        threads.apply()
        try html.check()
        // All checkpoints are loaded before the measurement, so that errors appear at once.
        var contenders = try checkpoints.map(contender)
        for round in 1...rounds {
            for index in contenders.indices {
                note(
                    "round \(round) of \(rounds), \(contenders[index].path): \(load.requests) requests, \(load.concurrency) at a time"
                )
                try await measure(&contenders[index], round: round)
            }
        }
        let report = ServingReport(
            rows: contenders.map { it in
                ServingReport.Row(
                    model: it.id, attention: it.attention, kvBytesPerToken: it.capacity.bytesPerToken,
                    sequencesHeld: it.capacity.sequences, closed: ServingLoad(rate: nil, rounds: it.closed),
                    open: it.open.isEmpty ? nil : ServingLoad(rate: it.rate, rounds: it.open))
            }, caption: caption(Set(contenders.map(\.pageBytes))))
        if results.isJSON {
            try results.print(report)
        } else {
            try print(report.caption)
            try print(report.markdown)
        }
        // Last: where the file cannot be written, the figures are on the screen.
        try html.write(report.html)
    }

    private func caption(_ pages: Set<Int>) -> String {
        let medians = rounds > 1 ? "Medians of \(rounds) rounds, in each of which every model has its turn" : "One round"
        return """
            \(load.requests) requests of \(load.prompt) tokens, \(load.shared) of them shared, and \(load.tokens) generated; closed \
            loop with \(load.concurrency) at a time; \(ByteCount.text(memory.bytes)) of \(kvDtype.name) cache in pages of \
            \(pages.sorted().map(ByteCount.text).joined(separator: " or "))\(eviction.text.map { ", evicted by \($0)" } ?? ""); \(Parallel.threads) threads. \(medians). Clients and server share one process and its \
            cores, so the clients' work is in the figures.
            """
    }

    private func contender(_ path: String) throws -> Contender {
        let checkpoint = try ModelImport.load(path)
        let config = checkpoint.config
        let length = load.prompt + load.tokens
        guard length <= config.maxSequence else {
            throw CommandFailure(
                description: "\(path): a prompt of \(load.prompt) tokens and \(load.tokens) generated are \(length), "
                    + "the model has \(config.maxSequence) positions; choose a smaller --prompt or --tokens")
        }
        let encoding = try paging.encoding(kvDtype)
        let retention = try eviction.retention()
        let pageBytes = paging.bytes(for: [config], encoding, under: retention)
        let capacity = try CacheCapacity.measure(
            config, encoding: encoding, retention: retention, bytes: memory.bytes, pageBytes: pageBytes, context: length)
        guard capacity.sequences > 0 else {
            throw CommandFailure(
                description: "\(path): \(ByteCount.text(memory.bytes)) of cache hold no sequence of \(length) tokens; "
                    + "choose a larger --kv-memory, or a smaller --prompt or --tokens")
        }
        let id = ModelImport.name(of: path)
        let tokenizer: any Tokenizer = try checkpoint.tokenizer.map { try TokenizerFile.load($0, name: path) } ?? ByteTokenizer()
        return Contender(
            id: id, path: path, attention: config.attentionLabel, pageBytes: pageBytes, capacity: capacity,
            model: EngineModel(
                name: id, model: try ServingModel(config: config, parameters: checkpoint.parameters), tokenizer: tokenizer,
                stopIDs: []), rate: rate)
    }

    /// One round of one checkpoint: a server of its own, so that no round finds another's prefixes, under both loads.
    private func measure(_ it: inout Contender, round: Int) async throws {
        var options = EngineOptions()
        let encoding = try paging.encoding(kvDtype)
        (options.cacheBytes, options.pageBytes, options.encoding) = (memory.bytes, it.pageBytes, encoding)
        options.retention = try eviction.retention()
        // The open loop may be far behind: nothing is refused for that.
        options.limits.waiting = max(options.limits.waiting, load.requests)
        let engine = try Engine(models: [it.model], options: options)
        var listening = ServerOptions()
        listening.port = 0
        let server = ModelServer(
            engine: engine,
            models: [
                ServedModel(
                    id: it.id, tokenizer: it.model.tokenizer, bosID: nil, eosIDs: [], chatFormat: .named(.plain),
                    attention: it.attention)
            ], options: listening, logger: Logger(label: "bench") { _ in SwiftLogNoOpLogHandler() })
        let (ports, continuation) = AsyncStream.makeStream(of: Int.self)
        let serving = Task {
            defer { continuation.finish() }
            try await server.run { continuation.yield($0) }
        }
        do {
            var iterator = ports.makeAsyncIterator()
            guard let port = await iterator.next() else {
                try await serving.value
                throw CommandFailure(description: "\(it.path): the server did not start")
            }
            try await measure(&it, port: port, round: round)
        } catch {
            await engine.stop()
            serving.cancel()
            throw error
        }
        // The next checkpoint's turn begins once this one's memory is released.
        await engine.stop()
        serving.cancel()
        _ = try? await serving.value
    }

    private func measure(_ it: inout Contender, port: Int, round: Int) async throws {
        var test = load.test(vocabulary: it.model.model.config.vocabularySize)
        test.port = port
        // The two loads of all rounds have prompts of their own.
        test.seed &+= UInt64(2 * (round - 1))
        try await test.warmUp(model: it.id)
        let closed = try await test.run(model: it.id)
        it.closed.append(Self.round(closed))
        let rate = it.rate ?? 0.7 * closed.requestsPerSecond
        it.rate = rate
        guard rate > 0 else { return }
        test.rate = rate
        test.seed &+= 1
        it.open.append(Self.round(try await test.run(model: it.id)))
    }

    private static func round(_ it: LoadTest.Result) -> ServingLoad.Round {
        func percentiles(_ it: LoadTest.Percentiles) -> [Double] { [it.p50, it.p90, it.p99] }
        return ServingLoad.Round(
            answered: it.answered, failed: it.failed, tokensPerSecond: it.tokensPerSecond,
            requestsPerSecond: it.requestsPerSecond, firstToken: percentiles(it.firstToken), perToken: percentiles(it.perToken))
    }
}
