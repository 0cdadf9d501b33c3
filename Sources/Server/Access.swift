import Crypto
import Hummingbird

/// Lets through who has the key, and whose Host is this server; turns every error into OpenAI's error object.
struct AccessMiddleware: RouterMiddleware {
    typealias Context = BasicRequestContext
    let server: ServerState
    private let digests: [SHA256Digest]

    init(server: ServerState) {
        self.server = server
        digests = server.options.apiKeys.map { SHA256.hash(data: Array($0.utf8)) }
    }

    func handle(
        _ request: Request, context: BasicRequestContext, next: (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        let start = ContinuousClock.now
        var response: Response
        do {
            try check(request)
            response = try await next(request, context)
        } catch let error as APIError {
            response = error.response
        } catch let error as HTTPError {
            response = APIError(error.status, Self.words(error.status, request)).response
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            // Nothing of the inside gets out.
            let isTooLarge = "\(type(of: error))".contains("TooManyBytes")
            if !isTooLarge { context.logger.error("request failed", metadata: ["error": "\(error)"]) }
            response =
                isTooLarge
                ? APIError(.contentTooLarge, "the body is larger than \(server.options.limits.bodyBytes) bytes").response
                : APIError(.internalServerError, "something went wrong here; the log says what").response
        }
        server.metrics.answered(response.status.code)
        context.logger.info(
            "answered",
            metadata: [
                "method": "\(request.method)", "path": "\(request.uri.path)", "status": "\(response.status.code)",
                "ms": "\(Int((ContinuousClock.now - start) / .milliseconds(1)))",
            ])
        return response
    }

    private func check(_ request: Request) throws(APIError) {
        // A page of another site cannot make a browser ask a local server in its name: the name it asks for is not this one's.
        if server.options.isLocal, let host = request.head.authority {
            let name = host.hasPrefix("[") ? host.prefix { $0 != "]" } + "]" : host.prefix { $0 != ":" }
            guard ["127.0.0.1", "localhost", "[::1]", server.options.host].contains(String(name)) else {
                throw APIError(.forbidden, "the Host '\(host.prefix(100))' is not this server's")
            }
        }
        guard !digests.isEmpty else { return }
        // Health is for supervisors, the page asks for the key itself; everything else needs it.
        guard request.uri.path != "/health", request.uri.path != "/" else { return }
        let refusal = APIError(
            .unauthorized, "the API key is missing or wrong; send 'Authorization: Bearer KEY'", code: "invalid_api_key")
        // No header is no key, not an empty one.
        guard let given = request.headers[.authorization], given.prefix(7).lowercased() == "bearer ", given.utf8.count > 7 else {
            throw refusal
        }
        // Digests of equal length, compared to the last byte of the last one.
        let token = SHA256.hash(data: Array(given.dropFirst(7).utf8))
        let matches = digests.reduce(0) { count, digest in
            count + (zip(token, digest).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0 ? 1 : 0)
        }
        guard matches > 0 else { throw refusal }
    }

    private static func words(_ status: HTTPResponse.Status, _ request: Request) -> String {
        switch status {
        case .notFound: "there is no \(request.method) \(request.uri.path.prefix(100))"
        case .contentTooLarge: "the body is too large"
        default: status.reasonPhrase
        }
    }
}
