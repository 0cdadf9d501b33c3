/// A server's settings.
public struct ServerOptions: Sendable {
    /// The address to listen on.
    public var host = "127.0.0.1"
    /// The port; 0 lets the system choose.
    public var port = 8000
    /// API keys, one of which a client sends as a bearer token; empty for no check. Requests of one key share cached prefixes.
    public var apiKeys: [String] = []
    /// Origins of web pages that may use the server beside its own page, as browsers name them; `*` for all.
    public var allowedOrigins: [String] = []
    /// A key that may do everything, and that alone sees every tenant's sequences and the metrics; nil for none.
    public var adminKey: String?
    /// Bounds of requests and connections.
    public var limits = ServerLimits()
    /// The prefix of the metrics' names.
    public var metricsPrefix = "vllm:"
    /// Seconds that requests have to end after a signal to stop.
    public var drainSeconds = 30
    /// Called at the end of every request.
    public var onRequest: (@Sendable (RequestSummary) -> Void)?

    /// The defaults: port 8000 of this machine alone.
    public init() {}

    /// Whether a text is an origin as browsers name it (`https://host:port`), or `*`.
    public static func isOrigin(_ text: String) -> Bool { OriginPolicy.isOrigin(text) }

    /// The number of tenants: each key, and all callers without one together where none is demanded.
    public static func tenants(apiKeys: [String], adminKey: String?) -> Int { KeyRing(apiKeys, admin: adminKey).tenants }

    /// Whether only this machine can reach the address.
    public var isLocal: Bool { ["127.0.0.1", "localhost", "::1"].contains(host) || host.hasPrefix("127.") }
}
