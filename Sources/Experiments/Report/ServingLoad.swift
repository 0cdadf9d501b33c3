import Foundation

/// One load on one model, measured in several rounds.
public struct ServingLoad: Sendable, Encodable {
    /// A figure over the rounds.
    public struct Spread: Sendable, Encodable {
        /// The median, and the rounds furthest from it.
        public var median: Double, lowest: Double, highest: Double

        /// The spread of `rounds`; figures that are not finite are left out, and all three are NaN where none is left.
        public init(_ rounds: [Double]) {
            let finite = rounds.filter(\.isFinite)
            (lowest, median, highest) = (finite.min() ?? .nan, finite.median, finite.max() ?? .nan)
        }

        /// Whether the rounds differ.
        var hasRange: Bool { highest > lowest }

        /// The median times `scale`.
        func text(_ digits: Int, scale: Double = 1) -> String {
            median.isFinite ? String(format: "%.\(digits)f", median * scale) : "–"
        }

        /// From the lowest to the highest; nil where there is nothing between them.
        func range(_ digits: Int, scale: Double = 1) -> String? {
            hasRange ? String(format: "%.\(digits)f–%.\(digits)f", lowest * scale, highest * scale) : nil
        }
    }

    /// Percentiles of some seconds, each over the rounds.
    public struct Latency: Sendable, Encodable {
        /// The median and the 90th and 99th percentiles.
        public var p50: Spread, p90: Spread, p99: Spread
    }

    /// One round.
    public struct Round: Sendable {
        /// Requests answered in full, and others.
        public var answered: Int, failed: Int
        /// Output tokens and requests a second.
        public var tokensPerSecond: Double, requestsPerSecond: Double
        /// Seconds to the first token, and for each further one on average over a request: p50, p90, p99.
        public var firstToken: [Double], perToken: [Double]

        /// A round's figures as measured.
        public init(
            answered: Int, failed: Int, tokensPerSecond: Double, requestsPerSecond: Double, firstToken: [Double],
            perToken: [Double]
        ) {
            precondition(
                firstToken.count == 3 && perToken.count == 3,
                "ServingLoad.Round: \(firstToken.count) and \(perToken.count) percentiles, expected 3 of each")
            (self.answered, self.failed) = (answered, failed)
            (self.tokensPerSecond, self.requestsPerSecond) = (tokensPerSecond, requestsPerSecond)
            (self.firstToken, self.perToken) = (firstToken, perToken)
        }
    }

    /// Requests a second sent at random times (open loop); nil where each follows another's end (closed loop).
    public var rate: Double?
    /// Requests answered in full, and others, of all rounds.
    public var answered: Int, failed: Int
    /// Output tokens and requests a second.
    public var tokensPerSecond: Spread, requestsPerSecond: Spread
    /// Seconds to the first token, and for each further one on average over a request.
    public var firstToken: Latency, perToken: Latency

    /// The figures of `rounds` of one load.
    public init(rate: Double?, rounds: [Round]) {
        func latency(_ values: (Round) -> [Double]) -> Latency {
            let each = (0..<3).map { place in Spread(rounds.map { values($0)[place] }) }
            return Latency(p50: each[0], p90: each[1], p99: each[2])
        }
        self.rate = rate
        answered = rounds.reduce(0) { $0 + $1.answered }
        failed = rounds.reduce(0) { $0 + $1.failed }
        tokensPerSecond = Spread(rounds.map(\.tokensPerSecond))
        requestsPerSecond = Spread(rounds.map(\.requestsPerSecond))
        (firstToken, perToken) = (latency(\.firstToken), latency(\.perToken))
    }
}
