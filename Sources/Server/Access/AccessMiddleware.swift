import HTTPTypes
import Hummingbird
import NIOCore
import NIOHTTP1

/// Middleware that authenticates requests and checks their Host and Origin, turns every error into OpenAI's error object, and
/// reports each request's end to the log and the metrics.
struct AccessMiddleware: RouterMiddleware {
    typealias Context = ServerContext
    let server: ServerState
    private let origins: OriginPolicy

    init(server: ServerState) {
        self.server = server
        origins = OriginPolicy(allowed: server.options.allowedOrigins)
    }

    func handle(
        _ request: Request, context: ServerContext, next: (Request, ServerContext) async throws -> Response
    ) async throws -> Response {
        context.record.update { ($0.method, $0.path) = ("\(request.method)", String(request.uri.path.prefix(200))) }
        var context = context
        var response: Response
        do {
            if let preflight = origins.preflight(request) {
                response = preflight
            } else {
                try check(request)
                context.caller = try caller(of: request)
                response = try await next(request, context)
            }
        } catch {
            guard let answer = answer(to: error, request, context) else { throw leave(context) }
            // An internal error stays as it was noted.
            context.record.update { $0.error = $0.error ?? answer.message }
            response = answer.response
        }
        origins.admit(&response, to: request)
        // A client that left while the answer was made has not got it.
        guard context.channel.isActive else { throw leave(context) }
        let (body, status, record) = (response.body, response.status.code, context.record)
        guard record.summary.isStream else {
            server.ended(record, status: record.summary.isCutShort ? nil : status)
            // A large answer is held until its client has taken it.
            guard let bytes = body.contentLength, bytes > Response.pieceBytes else {
                record.held?.end()
                return response
            }
            response.body = ResponseBody(contentLength: bytes) { writer in
                defer { record.held?.end() }
                try await body.write(writer)
            }
            return response
        }
        response.body = ResponseBody { [context] writer in
            defer { record.held?.end() }
            do {
                try await body.write(writer)
            } catch {
                throw leave(context)
            }
            server.ended(record, status: status)
        }
        return response
    }

    /// Records an aborted request, and closes the connection, so that no answer is written.
    private func leave(_ context: ServerContext) -> CancellationError {
        server.ended(context.record, status: nil)
        context.record.held?.end()
        context.channel.close(promise: nil)
        return CancellationError()
    }

    /// The answer to an error; nil where the client has left or the server is told to stop.
    private func answer(to error: any Error, _ request: Request, _ context: ServerContext) -> APIError? {
        switch error {
        case let error as APIError: return error
        case let error as HTTPError:
            let allowed = Route.methods(of: request.uri.path)
            guard error.status == .notFound, !allowed.isEmpty else {
                return APIError(error.status, Self.words(error.status, request))
            }
            var refusal = APIError(
                .methodNotAllowed,
                "\(request.uri.path) takes \(allowed.joined(separator: " and ")), not \(request.method.rawValue.prefix(20))")
            refusal.headers[.allow] = allowed.joined(separator: ", ")
            return refusal
        case HTTPParserError.invalidEOFState:
            // The client has left in the middle of its upload, or at least will not end it; only in that case it reads this.
            context.record.update { $0.isCutShort = true }
            return APIError(.badRequest, "the request's body ended early").closing
        case let error as HTTPParserError:
            return APIError(.badRequest, "the request's body cannot be read: \(error)").closing
        case is CancellationError, is ChannelError, is IOError: return nil
        default:
            if "\(type(of: error))".contains("TooManyBytes") {
                return APIError(.contentTooLarge, "the body is larger than \(server.options.limits.bodyBytes) bytes").closing
            }
            // Nothing of the inside gets out.
            context.record.update { $0.error = "\(error)" }
            return APIError(.internalServerError, "something went wrong here; the log says what")
        }
    }

    private func check(_ request: Request) throws(APIError) {
        // Against DNS rebinding: a page of another site makes browsers send a local server that site's name as the Host.
        if server.options.isLocal, let host = request.head.authority {
            let host = host.lowercased()
            let name = host.hasPrefix("[") ? host.prefix { $0 != "]" } + "]" : host.prefix { $0 != ":" }
            guard ["127.0.0.1", "localhost", "[::1]", server.options.host.lowercased()].contains(String(name)) else {
                throw APIError(.forbidden, "the Host '\(host.prefix(100))' is not this server's")
            }
        }
        try origins.check(request)
    }

    /// The sender of `request`; a route for everyone needs no key.
    private func caller(of request: Request) throws(APIError) -> Caller {
        if let caller = server.keys.caller(authorization: request.headers[.authorization]) { return caller }
        guard Route.all.contains(where: { $0.callers == .everyone && $0.matches(request.uri.path) }) else {
            throw APIError(
                .unauthorized, "the API key is missing or wrong; send 'Authorization: Bearer KEY'", code: "invalid_api_key")
        }
        return Caller()
    }

    private static func words(_ status: HTTPResponse.Status, _ request: Request) -> String {
        switch status {
        case .notFound: "there is no \(request.method) \(request.uri.path.prefix(100))"
        case .contentTooLarge: "the body is too large"
        default: status.reasonPhrase
        }
    }
}
