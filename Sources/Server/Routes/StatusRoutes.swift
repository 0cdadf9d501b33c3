import Hummingbird
import JSON

extension Route {
    /// Whether the server is up; connections kept in reserve serve it alone.
    static let health = get("/health", for: .everyone) { _, _, _ in .json(.object(["status": .text("ok")])) }

    /// Counters and histograms for Prometheus, which add up all tenants' load.
    static let metrics = get("/metrics", for: .admin) { server, _, _ in
        .text(server.metrics.text(await server.engine.statistics), type: "text/plain; version=0.0.4; charset=utf-8")
    }
}
