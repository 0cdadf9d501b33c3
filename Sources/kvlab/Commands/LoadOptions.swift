import ArgumentParser
import Benchmarking

/// The load on a server, shared by `bench load` and `bench serve`.
struct LoadOptions: ParsableArguments {
    @Option(help: "Requests in all, for each model.")
    var requests = 64

    @Option(help: "Requests at a time.")
    var concurrency = 32

    @Option(help: "Tokens of a prompt.")
    var prompt = 320

    @Option(help: "Tokens of the prompt that all requests share.")
    var shared = 256

    @Option(help: "Tokens generated for each request.")
    var tokens = 64

    @Option(help: "Seed of prompts and arrivals.")
    var seed: UInt64 = 1

    func validate() throws {
        // Far beyond practical loads, and far below overflow in sums.
        let most = 1_000_000
        for (option, value) in [
            ("--requests", requests), ("--concurrency", concurrency), ("--prompt", prompt), ("--tokens", tokens),
        ] { try checkRange(option, value, to: most) }
        guard (0..<prompt).contains(shared) else {
            throw ValidationError(
                "--shared is \(shared), expected 0 to \(prompt - 1), less than the \(prompt) tokens of --prompt")
        }
    }

    /// Throws an error about `--rate` unless it is a positive, finite rate of requests, or 0 for none where `allowsZero`.
    static func check(rate: Double?, allowsZero: Bool) throws {
        guard let rate else { return }
        guard rate.isFinite, rate <= 1e6, allowsZero ? rate >= 0 : rate > 0 else {
            throw ValidationError("--rate is \(rate), expected \(allowsZero ? "0" : "more than 0") to 1000000 requests a second")
        }
    }

    /// The load of random ids below `vocabulary`.
    func test(vocabulary: Int) -> LoadTest {
        var test = LoadTest()
        (test.requests, test.concurrency, test.seed) = (requests, concurrency, seed)
        (test.prompt, test.shared, test.output, test.vocabulary) = (prompt, shared, tokens, vocabulary)
        return test
    }
}
