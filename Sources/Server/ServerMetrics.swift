import Inference
import Synchronization

/// Counters and histograms in Prometheus' text format, under vLLM's names where the meaning is the same.
final class ServerMetrics: Sendable {
    private struct Histogram {
        let bounds: [Double]
        var counts: [Int]
        var sum = 0.0
        var count = 0

        init(_ bounds: [Double]) {
            self.bounds = bounds
            counts = [Int](repeating: 0, count: bounds.count)
        }

        mutating func observe(_ value: Double) {
            sum += value
            count += 1
            for index in bounds.indices where value <= bounds[index] { counts[index] += 1 }
        }
    }

    private struct State {
        var firstToken: Histogram
        var betweenTokens: Histogram
        var whole: Histogram
        var success: [String: Int] = [:]
        var statuses: [Int: Int] = [:]
        var aborted = 0
    }

    private let state: Mutex<State>
    private let prefix: String

    init(prefix: String) {
        self.prefix = prefix
        let seconds = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60]
        state = Mutex(State(firstToken: Histogram(seconds), betweenTokens: Histogram(seconds), whole: Histogram(seconds)))
    }

    /// Seconds from a request's arrival to its first token, and between two tokens of an output.
    func firstToken(_ seconds: Double) { state.withLock { $0.firstToken.observe(seconds) } }
    func nextToken(_ seconds: Double) { state.withLock { $0.betweenTokens.observe(seconds) } }

    /// A request that came to its end.
    func finished(_ seconds: Double, reasons: [FinishReason]) {
        state.withLock { state in
            state.whole.observe(seconds)
            for reason in reasons { state.success[reason.rawValue, default: 0] += 1 }
        }
    }

    /// A request's end, with an answer's status or without one.
    func ended(_ summary: RequestSummary) {
        state.withLock { state in
            if let status = summary.status { state.statuses[status, default: 0] += 1 } else { state.aborted += 1 }
        }
    }

    /// Everything as text.
    func text(_ statistics: EngineStatistics) -> String {
        var lines: [String] = []
        func add(_ name: String, _ kind: String, _ help: String, _ samples: [(String, String)]) {
            lines.append("# HELP \(prefix)\(name) \(help)")
            lines.append("# TYPE \(prefix)\(name) \(kind)")
            lines += samples.map { "\(prefix)\(name)\($0.0) \($0.1)" }
        }
        func gauge(_ name: String, _ help: String, _ value: Double) { add(name, "gauge", help, [("", "\(value)")]) }
        func counter(_ name: String, _ help: String, _ value: Int) { add(name, "counter", help, [("", "\(value)")]) }
        let held = statistics.pages - statistics.freePages
        gauge("num_requests_running", "Sequences that hold pages.", Double(statistics.running))
        gauge("num_requests_waiting", "Sequences that wait for pages.", Double(statistics.waiting))
        gauge(
            "kv_cache_usage_perc", "Share of the pages held, 1 for all.",
            Double(held - statistics.idlePages) / Double(max(1, statistics.pages)))
        gauge(
            "kv_cache_idle_perc", "Share of the pages kept for prefixes that nobody uses now.",
            Double(statistics.idlePages) / Double(max(1, statistics.pages)))
        counter("prefix_cache_queries_total", "Tokens looked up in the prefix cache.", statistics.prefixQueries)
        counter("prefix_cache_hits_total", "Tokens found in the prefix cache.", statistics.prefixHits)
        counter("num_preemptions_total", "Sequences put back into the queue.", statistics.recomputed + statistics.swapped)
        counter("prompt_tokens_total", "Prompt tokens.", statistics.promptTokens)
        counter("generation_tokens_total", "Generated tokens.", statistics.generatedTokens)
        let now = state.withLock { $0 }
        add(
            "request_success_total", "counter", "Outputs that came to their end.",
            now.success.sorted { $0.key < $1.key }.map { ("{finished_reason=\"\($0.key)\"}", "\($0.value)") })
        add(
            "http_responses_total", "counter", "Answers by status.",
            now.statuses.sorted { $0.key < $1.key }.map { ("{status=\"\($0.key)\"}", "\($0.value)") })
        counter("request_aborts_total", "Requests whose clients left before they had their answers.", now.aborted)
        for (name, help, histogram) in [
            ("time_to_first_token_seconds", "Time to the first token.", now.firstToken),
            ("inter_token_latency_seconds", "Time between tokens.", now.betweenTokens),
            ("e2e_request_latency_seconds", "Time of whole requests.", now.whole),
        ] {
            lines.append("# HELP \(prefix)\(name) \(help)")
            lines.append("# TYPE \(prefix)\(name) histogram")
            for (bound, count) in zip(histogram.bounds, histogram.counts) {
                lines.append("\(prefix)\(name)_bucket{le=\"\(bound)\"} \(count)")
            }
            lines.append("\(prefix)\(name)_bucket{le=\"+Inf\"} \(histogram.count)")
            lines.append("\(prefix)\(name)_sum \(histogram.sum)")
            lines.append("\(prefix)\(name)_count \(histogram.count)")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

/// Measures one request's tokens as they come.
struct TokenClock: Sendable {
    private let metrics: ServerMetrics
    private let record: RequestRecord
    private var last: [Int: ContinuousClock.Instant] = [:]
    private var isFirst = true

    init(_ metrics: ServerMetrics, _ record: RequestRecord) { (self.metrics, self.record) = (metrics, record) }

    /// A prompt was read, with so many of its tokens found in the prefix cache.
    func prompt(cached: Int) { record.update { $0.cachedTokens += cached } }

    mutating func token(prompt: Int, output: Int) {
        let now = ContinuousClock.now
        let key = prompt << 16 | output
        let (isFirst, seconds) = (isFirst, record.seconds)
        if isFirst { metrics.firstToken(seconds) }
        self.isFirst = false
        record.update { summary in
            summary.outputTokens += 1
            if isFirst { summary.firstToken = seconds }
        }
        if let before = last[key] { metrics.nextToken((now - before) / .seconds(1)) }
        last[key] = now
    }

    func finished(_ reasons: [FinishReason]) {
        record.update { $0.finishReason = (reasons.contains(.length) ? FinishReason.length : .stop).rawValue }
        metrics.finished(record.seconds, reasons: reasons)
    }
}
