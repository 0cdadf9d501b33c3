import Inference
import Threads

/// Counters and histograms in Prometheus' text format, under vLLM's names where the meaning is the same, else under kvlab's.
///
/// Figures of requests carry `model_name`; the engine's own counters are of all models together, and carry the name where only
/// one is served.
final class ServerMetrics: Sendable {
    private struct Histogram {
        static let bounds = [0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10, 30, 60]
        var counts = [Int](repeating: 0, count: bounds.count)
        var sum = 0.0
        var count = 0

        mutating func observe(_ value: Double) {
            sum += value
            count += 1
            for index in counts.indices where value <= Self.bounds[index] { counts[index] += 1 }
        }
    }

    private struct Model {
        var firstToken = Histogram(), betweenTokens = Histogram(), whole = Histogram(), queued = Histogram()
        var promptTokens = 0, generatedTokens = 0, aborted = 0
        var success: [FinishReason: Int] = [.stop: 0, .length: 0]
    }

    private struct State {
        var models: [String: Model]
        var statuses: [Int: Int] = [:]
        /// Requests that ended before it was known for which model they were.
        var abortedEarly = 0
    }

    private let state: Lock<State>
    private let prefix: String
    private let names: [String]

    init(prefix: String, models: [String]) {
        (self.prefix, names) = (prefix, models)
        state = Lock(State(models: Dictionary(uniqueKeysWithValues: models.map { ($0, Model()) })))
    }

    /// Records a prompt of `tokens` tokens, and the seconds that it waited for its first step.
    func prompt(_ model: String, tokens: Int, queuedSeconds: Double) {
        state.withLock { state in
            state.models[model]?.promptTokens += tokens
            state.models[model]?.queued.observe(queuedSeconds)
        }
    }

    /// Records a token, with the seconds since its request's arrival if it is the first, else since the output's last token.
    func token(_ model: String, sinceArrival: Double?, sinceLast: Double?) {
        state.withLock { state in
            state.models[model]?.generatedTokens += 1
            if let sinceArrival { state.models[model]?.firstToken.observe(sinceArrival) }
            if let sinceLast { state.models[model]?.betweenTokens.observe(sinceLast) }
        }
    }

    /// Records a finished request, once however many outputs it has.
    func finished(_ model: String, seconds: Double, reason: FinishReason) {
        state.withLock { state in
            state.models[model]?.whole.observe(seconds)
            state.models[model]?.success[reason, default: 0] += 1
        }
    }

    /// Records the end of a request by its answer's status, or as aborted without one.
    func ended(_ summary: RequestSummary) {
        state.withLock { state in
            if let status = summary.status {
                state.statuses[status, default: 0] += 1
            } else if let model = summary.model {
                state.models[model]?.aborted += 1
            } else {
                state.abortedEarly += 1
            }
        }
    }

    /// All metrics as text.
    func text(_ statistics: EngineStatistics) -> String {
        let now = state.withLock { $0 }
        var lines: [String] = []
        func head(_ name: String, _ kind: String, _ help: String) {
            lines += ["# HELP \(name) \(help)", "# TYPE \(name) \(kind)"]
        }
        func add(_ name: String, _ labels: [(String, String)], _ value: String) {
            let list = labels.map { "\($0.0)=\"\(Self.escaped($0.1))\"" }.joined(separator: ",")
            lines.append(name + (list.isEmpty ? " " : "{\(list)} ") + value)
        }
        let shared = names.count == 1 ? [("model_name", names[0])] : []
        func gauge(_ name: String, _ help: String, _ value: Double) {
            head(name, "gauge", help)
            add(name, shared, "\(value)")
        }
        func counter(_ name: String, _ help: String, _ value: Int) {
            head(prefix + name, "counter", help)
            add(prefix + name, shared, "\(value)")
        }
        func each(_ name: String, _ help: String, _ value: (Model) -> Int) {
            head(name, "counter", help)
            for model in names { add(name, [("model_name", model)], "\(now.models[model].map(value) ?? 0)") }
        }
        let pages = Double(max(1, statistics.pages))
        gauge(prefix + "num_requests_running", "Sequences that hold pages.", Double(statistics.running))
        gauge(prefix + "num_requests_waiting", "Sequences that wait for pages.", Double(statistics.waiting))
        gauge(
            prefix + "kv_cache_usage_perc", "Share of the pages held, 1 for all.",
            Double(statistics.pages - statistics.freePages - statistics.idlePages) / pages)
        gauge("kvlab:kv_cache_idle_perc", "Share of the pages kept for unused prefixes.", Double(statistics.idlePages) / pages)
        counter("prefix_cache_queries_total", "Tokens looked up in the prefix cache.", statistics.prefixQueries)
        counter("prefix_cache_hits_total", "Tokens found in the prefix cache.", statistics.prefixHits)
        counter("num_preemptions_total", "Sequences preempted.", statistics.recomputed + statistics.swapped)
        each(prefix + "prompt_tokens_total", "Prompt tokens.") { $0.promptTokens }
        each(prefix + "generation_tokens_total", "Generated tokens.") { $0.generatedTokens }
        head(prefix + "request_success_total", "counter", "Requests that came to their end.")
        for model in names {
            for reason in [FinishReason.stop, .length] {
                add(
                    prefix + "request_success_total", [("model_name", model), ("finished_reason", reason.rawValue)],
                    "\(now.models[model]?.success[reason] ?? 0)")
            }
        }
        each("kvlab:request_aborts_total", "Requests whose clients left before they had their answers.") { $0.aborted }
        head("kvlab:early_aborts_total", "counter", "Requests that ended before it was known for which model they were.")
        add("kvlab:early_aborts_total", [], "\(now.abortedEarly)")
        head("kvlab:http_responses_total", "counter", "Answers by status.")
        for (status, count) in now.statuses.sorted(by: { $0.key < $1.key }) {
            add("kvlab:http_responses_total", [("status", "\(status)")], "\(count)")
        }
        let histograms: [(String, String, (Model) -> Histogram)] = [
            ("time_to_first_token_seconds", "Time to the first token.", { $0.firstToken }),
            ("inter_token_latency_seconds", "Time between tokens.", { $0.betweenTokens }),
            ("e2e_request_latency_seconds", "Time of whole requests.", { $0.whole }),
            ("request_queue_time_seconds", "Time that prompts waited for their first step.", { $0.queued }),
        ]
        for (name, help, histogram) in histograms {
            head(prefix + name, "histogram", help)
            for model in names {
                guard let values = now.models[model].map(histogram) else { continue }
                let label = ("model_name", model)
                for (bound, count) in zip(Histogram.bounds, values.counts) {
                    add("\(prefix)\(name)_bucket", [label, ("le", "\(bound)")], "\(count)")
                }
                add("\(prefix)\(name)_bucket", [label, ("le", "+Inf")], "\(values.count)")
                add("\(prefix)\(name)_sum", [label], "\(values.sum)")
                add("\(prefix)\(name)_count", [label], "\(values.count)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A label's value as the format writes it.
    private static func escaped(_ value: String) -> String {
        value.map { character in
            switch character {
            case "\\": "\\\\"
            case "\"": "\\\""
            case "\n": "\\n"
            default: String(character)
            }
        }.joined()
    }
}

/// Measures one request's tokens as they come.
struct TokenClock: Sendable {
    private let metrics: ServerMetrics
    private let record: RequestRecord
    private let model: String
    private var last: [Int: ContinuousClock.Instant] = [:]
    private var isFirst = true

    /// A clock of the record's model, or of `model` where a request goes to several.
    init(_ metrics: ServerMetrics, _ record: RequestRecord, model: String? = nil) {
        (self.metrics, self.record) = (metrics, record)
        self.model = model ?? record.summary.model ?? ""
    }

    /// Records a prompt of `tokens` tokens, `cached` of which the prefix cache had.
    func prompt(tokens: Int, cached: Int, queued: Double) {
        metrics.prompt(model, tokens: tokens, queuedSeconds: queued)
        record.update { $0.cachedTokens += cached }
    }

    mutating func token(prompt: Int, output: Int) {
        let (now, key) = (ContinuousClock.now, prompt << 16 | output)
        let sinceArrival = isFirst ? record.seconds : nil
        isFirst = false
        metrics.token(model, sinceArrival: sinceArrival, sinceLast: last[key].map { (now - $0) / .seconds(1) })
        last[key] = now
        record.update { summary in
            summary.outputTokens += 1
            summary.firstToken = summary.firstToken ?? sinceArrival
        }
    }

    /// Records the end of all outputs; the request's reason is length if an output's is.
    func finished(_ reasons: [FinishReason]) {
        let reason = reasons.contains(.length) ? FinishReason.length : .stop
        record.update { $0.finishReason = reason.rawValue }
        metrics.finished(model, seconds: record.seconds, reason: reason)
    }
}
