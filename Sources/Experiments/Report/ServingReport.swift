import Foundation

/// What serving each architecture gives, against the bytes of cache that a token costs.
public struct ServingReport: Sendable {
    /// Percentiles of some seconds.
    public struct Latency: Sendable, Encodable {
        var p50: Double, p90: Double, p99: Double

        /// Three percentiles in seconds.
        public init(p50: Double, p90: Double, p99: Double) { (self.p50, self.p90, self.p99) = (p50, p90, p99) }

        var text: String { String(format: "%.1f / %.1f / %.1f", p50 * 1e3, p90 * 1e3, p99 * 1e3) }
    }

    /// One load on one model.
    public struct Load: Sendable, Encodable {
        /// Requests a second sent at random times (open loop); nil where each follows another's end (closed loop).
        public var rate: Double?
        /// Requests answered in full, and others.
        public var answered: Int, failed: Int
        /// Output tokens and requests a second.
        public var tokensPerSecond: Double, requestsPerSecond: Double
        /// To the first token, and for each further one on average over a request.
        public var firstToken: Latency, perToken: Latency

        /// A load's figures as measured.
        public init(
            rate: Double?, answered: Int, failed: Int, tokensPerSecond: Double, requestsPerSecond: Double, firstToken: Latency,
            perToken: Latency
        ) {
            (self.rate, self.answered, self.failed) = (rate, answered, failed)
            (self.tokensPerSecond, self.requestsPerSecond) = (tokensPerSecond, requestsPerSecond)
            (self.firstToken, self.perToken) = (firstToken, perToken)
        }
    }

    /// One model.
    public struct Row: Sendable, Encodable {
        /// The model's id, and its attention's short name.
        public var model: String, attention: String
        /// Cache bytes of a token over all layers.
        public var kvBytesPerToken: Int
        /// Sequences of the load's length that the cache memory holds.
        public var sequencesHeld: Int
        /// The closed loop, and the open one where there was one.
        public var closed: Load
        public var open: Load?

        /// A model's figures.
        public init(
            model: String, attention: String, kvBytesPerToken: Int, sequencesHeld: Int, closed: Load, open: Load?
        ) {
            (self.model, self.attention, self.kvBytesPerToken) = (model, attention, kvBytesPerToken)
            (self.sequencesHeld, self.closed, self.open) = (sequencesHeld, closed, open)
        }
    }

    /// The models, in the order measured.
    public var rows: [Row]
    /// What was asked of them, in a sentence.
    public var caption: String

    /// The figures of `rows` under a `caption`.
    public init(rows: [Row], caption: String) { (self.rows, self.caption) = (rows, caption) }

    private static let titles = [
        "model", "attention", "KV bytes/token", "sequences held", "load", "answered", "failed", "tokens/s", "requests/s",
        "first token p50 / p90 / p99 ms", "per token p50 / p90 / p99 ms",
    ]

    private var cells: [[String]] {
        rows.flatMap { row in
            ([row.closed] + (row.open.map { [$0] } ?? [])).map { load in
                [
                    row.model, row.attention, "\(row.kvBytesPerToken)", "\(row.sequencesHeld)",
                    load.rate.map { String(format: "open, %.2f/s", $0) } ?? "closed", "\(load.answered)", "\(load.failed)",
                    String(format: "%.0f", load.tokensPerSecond), String(format: "%.2f", load.requestsPerSecond),
                    load.firstToken.text, load.perToken.text,
                ]
            }
        }
    }

    /// The table in Markdown.
    public var markdown: String {
        let dashes = Self.titles.indices.map { [0, 1, 4].contains($0) ? "---" : "---:" }
        return ([Self.titles, dashes] + cells).map { "| " + $0.joined(separator: " | ") + " |" }.joined(separator: "\n")
    }

    /// The table and both plots as one file that needs nothing else.
    public var html: String {
        let head = Self.titles.enumerated().map { "<th\([0, 1, 4].contains($0) ? " class=\"text\"" : "")>\($1)</th>" }.joined()
        let body = cells.map { line in
            "<tr>"
                + line.enumerated().map { "<td\([0, 1, 4].contains($0) ? " class=\"text\"" : "")>\($1.escapedForHTML)</td>" }
                .joined()
                + "</tr>"
        }
        func plot(_ name: String, _ lines: [(String, (Row) -> Double?)]) -> String {
            LinePlot(
                series: lines.enumerated().map { index, line in
                    LinePlot.Series(
                        name: line.0, color: index,
                        points: rows.compactMap { row in
                            line.1(row).map { (x: Double(row.kvBytesPerToken), y: $0, error: 0) }
                        }.sorted { $0.x < $1.x })
                }, xName: "KV cache bytes per token (log scale)", yName: name, xText: { byteCountText(Int($0)) }, fromZero: true,
                yText: { String(format: "%.0f", $0) }
            ).figure
        }
        return HTMLReport.page(
            title: "kvlab bench serve",
            body: """
                <p class="caption">\(caption.escapedForHTML)</p>
                <div class="scroll"><table><thead><tr>\(head)</tr></thead><tbody>\(body.joined(separator: "\n"))</tbody></table></div>
                <h2>What a byte of cache costs</h2>
                \(plot("output tokens/s", [("closed loop", { $0.closed.tokensPerSecond })]))
                \(plot("sequences held", [("sequences held", { Double($0.sequencesHeld) })]))
                """)
    }
}
