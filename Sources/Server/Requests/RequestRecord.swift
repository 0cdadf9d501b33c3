import Console
import Hummingbird
import Inference
import JSON
import NIOCore
import Threads

/// The outcome of one request, as the log tells it.
public struct RequestSummary: Sendable {
    /// The id clients see, where the request got as far.
    public internal(set) var id: String?
    /// The method and the path.
    public internal(set) var method = "", path = ""
    /// The model asked for.
    public internal(set) var model: String?
    /// Tokens of its prompts, cached tokens among them, and generated tokens.
    public internal(set) var promptTokens = 0, cachedTokens = 0, outputTokens = 0
    /// Seconds to the first token and to the end.
    public internal(set) var firstToken: Double?, seconds = 0.0
    /// Why its outputs ended; "abort" where the client left or the server closed.
    public internal(set) var finishReason: String?
    /// The answer's status; nil where none was given or no client took it.
    public internal(set) var status: Int?
    /// An internal error, which no client is told.
    public internal(set) var error: String?
    /// Whether the answer is streamed.
    var isStream = false
    /// Whether the request's body ended before its announced length.
    var isCutShort = false

    /// One line of JSON.
    public var json: String {
        func text(_ value: String?) -> JSONValue { value.map { .text($0) } ?? .null }
        func milliseconds(_ seconds: Double?) -> JSONValue {
            seconds.map { .number("\(($0 * 1e6).rounded() / 1e3)") } ?? .null
        }
        let value: JSONValue = .object([
            "id": text(id), "method": .text(method), "path": .text(path), "model": text(model),
            "status": status.map { .int($0) } ?? .null,
            "prompt_tokens": .int(promptTokens), "cached_tokens": .int(cachedTokens), "output_tokens": .int(outputTokens),
            "first_token_ms": milliseconds(firstToken), "duration_ms": milliseconds(seconds), "finish_reason": text(finishReason),
            "error": text(error),
        ])
        return String(decoding: value.compact, as: UTF8.self)
    }

    /// One line for people; whatever a client put into it.
    public var text: String {
        var line = "\(method) \(path) \(status.map { "\($0)" } ?? "-") \(Int(seconds * 1000)) ms"
        if let model { line += " \(model) \(promptTokens)+\(outputTokens) tokens, \(cachedTokens) cached" }
        if let finishReason { line += " \(finishReason)" }
        return (line + (error.map { " (\($0))" } ?? "")).onOneLine
    }
}

/// The summary of a request in progress, and the memory that it holds.
final class RequestRecord: Sendable {
    let start = ContinuousClock.now
    private let state = Lock(RequestSummary())
    private let holding = Lock<Holding?>(nil)

    func update(_ change: (inout RequestSummary) -> Void) { state.withLock { change(&$0) } }

    var summary: RequestSummary { state.withLock { $0 } }

    /// The memory that the request holds; none before its tenant is known and after its end.
    var held: Holding? {
        get { holding.withLock { $0 } }
        set { holding.withLock { $0 = newValue } }
    }

    /// Seconds since the request came.
    var seconds: Double { (ContinuousClock.now - start) / .seconds(1) }
}

/// A request's context: its connection, its caller and its record.
struct ServerContext: RequestContext {
    var coreContext: CoreRequestContextStorage
    let channel: any Channel
    /// The caller that the access check found.
    var caller = Caller()
    let record = RequestRecord()

    init(source: ApplicationRequestContextSource) {
        coreContext = .init(source: source)
        channel = source.channel
    }
}
