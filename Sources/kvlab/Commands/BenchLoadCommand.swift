import ArgumentParser
import Benchmarking
import Foundation

/// `kvlab bench load`: a load test of a running server.
struct BenchLoadCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "load", abstract: "Load a running server and print throughput and latencies.",
        discussion: """
            Streams completions of random token ids, --concurrency at a time (closed loop) or --rate a second at random times (open \
            loop), one model after the other. Any server with OpenAI's /v1/completions that takes token ids will do.
            """)

    @Argument(help: "Model ids.")
    var models: [String]

    @Option(help: "The server's address.")
    var host = "127.0.0.1"

    @Option(help: "The server's port.")
    var port = 8000

    @Option(help: "What the server wants as a bearer token.")
    var apiKey: String?

    @OptionGroup var load: LoadOptions

    @Option(help: "Requests a second on average, sent at random times, instead of --concurrency.")
    var rate: Double?

    @Option(help: "Token ids are drawn below this.")
    var vocabulary = 256

    @OptionGroup var results: JSONOptions

    func validate() throws {
        try checkRange("--vocabulary", vocabulary, from: 2)
        try LoadOptions.check(rate: rate, allowsZero: false)
    }

    private struct Row: Encodable {
        var model: String
        var result: LoadTest.Result
    }

    func run() async throws {
        var test = load.test(vocabulary: vocabulary)
        (test.host, test.port, test.apiKey, test.rate) = (host, port, apiKey, rate)
        if !results.isJSON {
            try print(
                "| model | answered | failed | tokens/s | requests/s | first token p50 / p90 / p99 ms | per token p50 / p90 / p99 ms |"
            )
            try print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        }
        for model in models {
            let result = try await test.run(model: model)
            if results.isJSON {
                try results.print(Row(model: model, result: result))
                continue
            }
            func milliseconds(_ it: LoadTest.Percentiles) -> String {
                String(format: "%.1f / %.1f / %.1f", it.p50 * 1e3, it.p90 * 1e3, it.p99 * 1e3)
            }
            try print(
                "| \(model) | \(result.answered) | \(result.failed) | \(Int(result.tokensPerSecond)) | \(String(format: "%.2f", result.requestsPerSecond)) | \(milliseconds(result.firstToken)) | \(milliseconds(result.perToken)) |"
            )
        }
    }
}
