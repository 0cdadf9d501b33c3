import Glibc
import JSON
import Random

/// A load of streaming completions of random token ids on a server, measured at the client.
public struct LoadTest: Sendable {
    /// The server's address.
    public var host = "127.0.0.1", port = 8000
    /// The server's API key, sent as a bearer token; nil for none.
    public var apiKey: String?
    /// Requests in all.
    public var requests = 64
    /// Requests at a time, the next one sent when one ends (closed loop).
    public var concurrency = 32
    /// Requests a second on average, sent at random times whatever the server's progress (open loop); nil for the closed loop.
    public var rate: Double?
    /// Tokens of a prompt, and how many of them all prompts share.
    public var prompt = 320, shared = 256
    /// Tokens generated for each.
    public var output = 64
    /// Ids are drawn below this.
    public var vocabulary = 256
    /// Seeds prompts and arrivals.
    public var seed: UInt64 = 1

    /// Percentiles of some seconds.
    public struct Percentiles: Sendable, Encodable {
        /// The 50th, 90th and 99th percentile.
        public var p50: Double, p90: Double, p99: Double

        init(_ values: [Double]) {
            let sorted = values.sorted()
            func at(_ share: Double) -> Double {
                sorted.isEmpty ? .nan : sorted[min(sorted.count - 1, Int((share * Double(sorted.count)).rounded(.up)) - 1)]
            }
            (p50, p90, p99) = (at(0.5), at(0.9), at(0.99))
        }
    }

    /// Throughput and latency over a load.
    public struct Result: Sendable, Encodable {
        /// Requests answered, and those refused or broken off.
        public var answered: Int, failed: Int
        /// Output tokens and answered requests a second.
        public var tokensPerSecond: Double, requestsPerSecond: Double
        /// Seconds to the first token, and for each further one on average over a request.
        public var firstToken: Percentiles, perToken: Percentiles
    }

    /// 64 requests, 32 at a time, of 320 + 64 tokens with 256 shared.
    public init() {}

    /// Sends one unmeasured request, its prompt unlike the load's: the first pass over the weights, the first connection and the
    /// first pages cost more than later ones.
    ///
    /// Throws ``LoadTestError`` where it is not answered, as the load then wouldn't be.
    public func warmUp(model: String) async throws {
        var one = self
        (one.requests, one.concurrency, one.rate, one.seed) = (1, 1, nil, ~seed)
        let result = try await one.run(model: model)
        guard result.answered == 1 else { throw LoadTestError.notAnswered(model: model) }
    }

    /// Runs the load on one of the server's models.
    public func run(model: String) async throws -> Result {
        var random = SeededGenerator(seed: seed)
        func draw(_ count: Int) -> [JSONValue] { (0..<count).map { _ in .int(Int(random.uniform() * Double(vocabulary))) } }
        let prefix = draw(shared)
        let bodies = (0..<requests).map { _ -> JSONValue in
            .object([
                "model": .text(model), "prompt": .array(prefix + draw(prompt - shared)), "max_tokens": .int(output),
                "temperature": .int(0), "ignore_eos": .bool(true), "stream": .bool(true),
                "stream_options": .object(["include_usage": .bool(true)]),
            ])
        }
        var arrival = 0.0
        let arrivals = (0..<requests).map { _ -> Double in
            if let rate { arrival += -log(1 - random.uniform()) / rate }
            return arrival
        }
        let client = LoadClient(host: host, port: port, apiKey: apiKey)
        let start = ContinuousClock.now
        let samples = await withTaskGroup(of: LoadClient.Sample.self) { group in
            var samples: [LoadClient.Sample] = []
            for (index, body) in bodies.enumerated() {
                if rate == nil, index >= concurrency, let sample = await group.next() { samples.append(sample) }
                let wait = arrivals[index]
                group.addTask {
                    if wait > 0 { try? await Task.sleep(until: start + .seconds(wait)) }
                    return (try? await client.complete(body)) ?? LoadClient.Sample()
                }
            }
            for await sample in group { samples.append(sample) }
            return samples
        }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let answered = samples.filter { $0.status == 200 && $0.tokens == output }
        return Result(
            answered: answered.count, failed: samples.count - answered.count,
            tokensPerSecond: Double(answered.reduce(0) { $0 + $1.tokens }) / seconds,
            requestsPerSecond: Double(answered.count) / seconds,
            firstToken: Percentiles(answered.compactMap(\.firstToken)),
            perToken: Percentiles(
                answered.compactMap { sample in
                    guard let first = sample.firstToken, let last = sample.lastToken, sample.tokens > 1 else { return nil }
                    return (last - first) / Double(sample.tokens - 1)
                }))
    }
}

/// Errors before a load's first measured request.
public enum LoadTestError: Error, CustomStringConvertible, Equatable {
    /// The server didn't answer the first request in full.
    case notAnswered(model: String)

    /// The sentence for the user.
    public var description: String {
        switch self {
        case .notAnswered(let model):
            "\(model): the first request was not answered in full; is it served, and does the prompt with its answer fit it?"
        }
    }
}
