import ArgumentParser
import Server

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
        guard requests >= 1, concurrency >= 1, prompt >= 1, shared >= 0, shared < prompt, tokens >= 1 else {
            throw ValidationError("--requests, --concurrency, --prompt, --shared and --tokens don't fit each other")
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
