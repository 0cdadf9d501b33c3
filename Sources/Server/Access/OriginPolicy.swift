import HTTPTypes
import Hummingbird

/// The policy of web pages that may use the server from a browser (CORS).
///
/// A browser sends what any page asks it to, to any address it reaches, this machine's included. It names the page's origin, and
/// sends a body declared as JSON across origins only after a preflight that allows it. So foreign origins are refused, and POST
/// takes `application/json` alone: a form or a `text/plain` body, which need no preflight, would pass otherwise.
///
/// Source: the Fetch standard (whatwg.org), CORS protocol.
struct OriginPolicy: Sendable {
    /// Origins beside the server's own, in lower case; `*` allows all.
    let allowed: Set<String>

    init(allowed: [String]) { self.allowed = Set(allowed.map { $0.lowercased() }) }

    /// Whether a text is an origin as browsers send it, `scheme://host[:port]`, or `*`.
    static func isOrigin(_ text: String) -> Bool {
        guard text != "*" else { return true }
        guard let range = text.firstRange(of: "://") else { return false }
        let (scheme, authority) = (text[..<range.lowerBound], text[range.upperBound...])
        return !scheme.isEmpty && !authority.isEmpty && scheme.allSatisfy { $0.isASCII && ($0.isLetter || "+-.".contains($0)) }
            && authority.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber || "-.:[]_".contains($0)) }
    }

    private func isListed(_ origin: String) -> Bool { allowed.contains("*") || allowed.contains(origin.lowercased()) }

    /// Throws where a page of another origin asks, or a body is not declared as JSON.
    func check(_ request: Request) throws(APIError) {
        if let origin = request.headers[.origin], !isOwn(origin, request), !isListed(origin) {
            throw APIError(
                .forbidden,
                "the origin '\(origin.prefix(100))' may not use this server; start it with --allow-origin \(origin.prefix(100))",
                code: "origin_not_allowed")
        }
        guard request.method == .post else { return }
        let type = request.headers[.contentType]?.prefix { $0 != ";" }.lowercased().filter { $0 != " " && $0 != "\t" }
        guard type == "application/json" else {
            throw APIError(
                .unsupportedMediaType,
                "the body's type is \(type.map { "'\($0.prefix(100))'" } ?? "missing"); send 'Content-Type: application/json'")
        }
    }

    /// Whether the page comes from this server: a proxy in front may have added TLS.
    private func isOwn(_ origin: String, _ request: Request) -> Bool {
        guard let host = request.head.authority?.lowercased() else { return false }
        return ["http://" + host, "https://" + host].contains(origin.lowercased())
    }

    /// The answer to a preflight request of a listed page's browser; nil for any other request.
    func preflight(_ request: Request) -> Response? {
        guard request.method == .options, let origin = request.headers[.origin], isListed(origin),
            request.headers[.accessControlRequestMethod] != nil
        else { return nil }
        var headers: HTTPFields = [
            .accessControlAllowMethods: "GET, POST", .accessControlMaxAge: "600", .contentLength: "0",
        ]
        headers[.accessControlAllowHeaders] = request.headers[.accessControlRequestHeaders] ?? "authorization, content-type"
        return Response(status: .ok, headers: headers)
    }

    /// Lets a listed page read the answer to its request.
    func admit(_ response: inout Response, to request: Request) {
        guard !allowed.isEmpty else { return }
        response.headers[.vary] = "Origin"
        guard let origin = request.headers[.origin], isListed(origin) else { return }
        response.headers[.accessControlAllowOrigin] = origin
    }
}
