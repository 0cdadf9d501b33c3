import ArgumentParser
import Benchmarking
import Checkpoints
import Experiments
import Foundation
import Inference
import Kernels
import Models
import Text

/// `kvlab bench engine`: the throughput of the serving engine on checkpoints, without a server.
struct BenchEngineCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "engine", abstract: "Time the serving engine on checkpoints, in process.",
        discussion: """
            Sends --batch random prompts at once and prints the medians of --rounds: prompt tokens/s until all have their first token, \
            decoded tokens/s from then on, output tokens/s from beginning to end, and what the decoding steps read (weights once, keys \
            and values of all sequences) in GB/s, also as a share of what the machine reads, measured around each round.
            """)

    @Argument(help: "The checkpoints.", completion: .file(extensions: ["h5"]))
    var checkpoints: [String]

    @Option(help: "Requests at once, such as 1,8,32.")
    var batch = "1,8,32"

    @Option(help: "Tokens of a prompt.")
    var prompt = 512

    @Option(help: "Tokens of the prompt that all requests share.")
    var shared = 0

    @Flag(help: "Have the shared tokens in the cache beforehand.")
    var warm = false

    @Option(help: "Tokens generated for each request.")
    var tokens = 64

    @Option(name: .customLong("kv-memory"), help: "Cache memory.")
    var memory = ByteCount(1 << 30)

    @Option(help: "Encoding of cached keys and values.")
    var kvDtype = CacheEncoding.standard

    @OptionGroup var paging: PageOptions

    @OptionGroup(title: "Eviction") var eviction: EvictionOptions

    @Option(name: .customLong("step-tokens"), help: "Tokens of a step, prompts and decoding together.")
    var stepTokens = Scheduler.Limits().tokensPerStep

    @Option(help: "Rounds, of which the median counts; one more goes before.")
    var rounds = 3

    @OptionGroup var threads: ThreadsOption

    @OptionGroup var results: JSONOptions

    private var batches: [Int] { batch.split(separator: ",").compactMap { Int($0) } }

    func validate() throws {
        guard !batches.isEmpty, batches.allSatisfy({ $0 >= 1 && $0 <= 256 }) else {
            throw ValidationError("--batch is '\(batch)', expected numbers from 1 to 256 with commas between")
        }
        guard prompt >= 1, tokens >= 2, rounds >= 1, shared >= 0, shared < prompt, stepTokens >= 1 else {
            throw ValidationError("--prompt, --tokens, --rounds, --step-tokens and --shared don't fit each other")
        }
    }

    private struct Row: Encodable {
        var model: String
        var attention: String
        var batch: Int
        var kvBytesPerToken: Int
        var pageBytes: Int
        var result: ServingBenchmark.Result
        /// The machine's read bandwidth, bytes a second, and decoding's share of it: both measured around each
        /// round, as a shared machine's speed moves within minutes, and the medians of the rounds'.
        var memoryBytesPerSecond: Double
        var memoryShare: Double
    }

    func run() async throws {
        threads.apply()
        let encoding = try paging.encoding(kvDtype)
        if !results.isJSON {
            try print(
                "| model | attention | KV bytes/token | page | batch | prefill tok/s | decode tok/s | output tok/s | ms/step | GB/s | of memory |"
            )
            try print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
        }
        let bandwidth = MemoryBandwidth()
        for path in checkpoints {
            let checkpoint = try ModelImport.load(path)
            guard prompt + tokens <= checkpoint.config.maxSequence else {
                throw ValidationError(
                    "\(path) has \(checkpoint.config.maxSequence) positions; choose a smaller --prompt or --tokens")
            }
            var options = EngineOptions()
            options.cacheBytes = memory.bytes
            options.pageBytes = paging.page?.bytes
            options.encoding = encoding
            options.retention = try eviction.retention()
            options.limits.tokensPerStep = stepTokens
            options.prefixSharing = shared > 0
            let name = ModelImport.name(of: path)
            let engine = try Engine(
                models: [
                    EngineModel(
                        name: name, model: try ServingModel(config: checkpoint.config, parameters: checkpoint.parameters),
                        tokenizer: ByteTokenizer(), stopIDs: [])
                ], options: options)
            for batch in batches {
                var benchmark = ServingBenchmark()
                (benchmark.batch, benchmark.prompt, benchmark.shared, benchmark.output) = (batch, prompt, shared, tokens)
                benchmark.isWarm = warm
                var results: [ServingBenchmark.Result] = []
                var bandwidths: [Double] = []
                var before = bandwidth.measure()
                for round in 0...rounds {
                    let result = try await benchmark.run(engine, seed: UInt64(batch * 1000 + round))
                    await engine.dropPrefixes()
                    let after = bandwidth.measure()
                    if round > 0 {
                        results.append(result)
                        bandwidths.append((before + after) / 2)
                    }
                    before = after
                }
                let shares = zip(results, bandwidths).map { $0.readBytesPerSecond / $1 }.sorted()
                let row = Row(
                    model: name, attention: checkpoint.config.attentionLabel, batch: batch,
                    kvBytesPerToken: checkpoint.config.kvBytesPerToken(encoding), pageBytes: engine.pageBytes,
                    result: ServingBenchmark.median(of: results),
                    memoryBytesPerSecond: bandwidths.sorted()[rounds / 2], memoryShare: shares[rounds / 2])
                try show(row)
            }
        }
    }

    private func show(_ row: Row) throws {
        if results.isJSON { return try results.print(row) }
        let it = row.result
        let figures = [it.prefillTokensPerSecond, it.decodeTokensPerSecond, it.outputTokensPerSecond].map { "\(Int($0))" }
        let rest = String(
            format: "%.2f | %.1f | %.0f %%", it.stepSeconds * 1e3, it.readBytesPerSecond / 1e9,
            100 * row.memoryShare)
        try print(
            "| \(row.model) | \(row.attention) | \(row.kvBytesPerToken) | \(ByteCount.text(row.pageBytes)) | \(row.batch) | \(figures.joined(separator: " | ")) | \(rest) |"
        )
    }
}
