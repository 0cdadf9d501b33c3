import HTTPTypes
import Hummingbird

/// An HTTP route: its method and path, the callers it answers, and its handler.
///
/// A new one is a file with its handler, a line in ``all`` and a line in the table of Serving.md.
struct Route: Sendable {
    /// The callers that a route answers.
    enum Callers: Sendable {
        /// Callers with and without a key. Such a route answers HEAD as well, for supervisors.
        case everyone
        /// Callers with a key, where the server demands one.
        case keyHolders
        /// The holder of the admin key, where the server has one, else as ``keyHolders``.
        case admin
    }

    let method: HTTPRequest.Method
    /// The path; `/**` at its end stands for one or more parts.
    let path: String
    let callers: Callers
    private let respond: @Sendable (ServerState, Request, ServerContext) async throws -> Response

    /// All routes.
    static let all: [Route] = [
        .models, .model, .completions, .chat, .tokenize, .detokenize, .tokenizerInfo, .health, .metrics, .pool, .play,
        .playground,
    ]

    /// A route without a body.
    static func get(
        _ path: String, for callers: Callers = .keyHolders,
        _ respond: @escaping @Sendable (ServerState, Request, ServerContext) async throws -> Response
    ) -> Route {
        Route(method: .get, path: path, callers: callers, respond: respond)
    }

    /// A route whose body is a JSON object, read within ``ServerLimits`` before `respond` is called.
    static func post(
        _ path: String, _ respond: @escaping @Sendable (ServerState, RequestFields, ServerContext) async throws -> Response
    ) -> Route {
        Route(method: .post, path: path, callers: .keyHolders) { server, request, context in
            try await respond(server, try await RequestFields(collecting: request, server, context), context)
        }
    }

    /// Whether `path` is this route's.
    func matches(_ path: String) -> Bool {
        self.path.hasSuffix("/**") ? path.hasPrefix(self.path.dropLast(2)) : path == self.path
    }

    /// The methods that it answers.
    private var methods: [HTTPRequest.Method] { callers == .everyone ? [method, .head] : [method] }

    /// The methods that `path` takes; none where it is no route's.
    static func methods(of path: String) -> [String] {
        all.filter { $0.matches(path) }.flatMap { $0.methods.map(\.rawValue) }
    }

    /// Adds the route to `router`. Callers without a key were refused before, see ``AccessMiddleware``.
    func add(to router: Router<ServerContext>, _ server: ServerState) {
        for method in methods {
            router.on(RouterPath(path), method: method) { request, context in
                if callers == .admin, !server.keys.showsAll(to: context.caller) {
                    throw APIError(
                        .forbidden, "\(path) shows all tenants' load; send the admin key", code: "admin_key_required")
                }
                let response = try await respond(server, request, context)
                return method == .head ? Response(status: response.status, headers: response.headers) : response
            }
        }
    }
}
