import Crypto
import Foundation
import Hummingbird
import HummingbirdCore
import Inference
import JSON
import Logging
import NIOCore
import ServiceLifecycle

/// What all routes share.
struct ServerState: Sendable {
    let engine: Engine
    let models: [ServedModel]
    let options: ServerOptions
    let metrics: ServerMetrics
    let runner: GenerationRunner
    let started: Int

    /// The prefix cache a caller may see: that of the key it sent, and within it that of its `cache_salt`.
    ///
    /// The key comes first and at a fixed length, so that no salt can spell another key's cache; as a digest, so that keys stay
    /// out of what is kept.
    static func tenant(authorization: String?, salt: String?) -> String {
        let key = SHA256.hash(data: Array((authorization ?? "").utf8)).map { byte in
            let digits = String(byte, radix: 16)
            return (digits.count < 2 ? "0" : "") + digits
        }
        return key.joined() + "\u{0}" + (salt ?? "")
    }
}

/// An OpenAI-compatible server over an engine.
public struct ModelServer: Sendable {
    private let state: ServerState
    private let logger: Logger

    /// A server for `models`, which are the engine's, in the same order.
    public init(engine: Engine, models: [ServedModel], options: ServerOptions = ServerOptions(), logger: Logger) {
        let metrics = ServerMetrics(prefix: options.metricsPrefix)
        state = ServerState(
            engine: engine, models: models, options: options, metrics: metrics,
            runner: GenerationRunner(engine: engine, seconds: options.limits.seconds),
            started: Int(Date().timeIntervalSince1970))
        self.logger = logger
    }

    /// Serves until SIGTERM or SIGINT, then takes no more requests and lets those there are come to their end.
    ///
    /// `onReady` is told the port. Throws ``ServerError`` where the address cannot be had.
    public func run(onReady: @escaping @Sendable (Int) -> Void = { _ in }) async throws {
        var configuration = ApplicationConfiguration(address: .hostname(state.options.host, port: state.options.port))
        configuration.serverName = "kvlab"
        let decoder = HTTP1Channel.Configuration.DecoderConfiguration(
            maxHeaderFieldSize: 16 << 10, maxHeaderListSize: 32 << 10, maxHeaderFieldCount: 100)
        let application = Application(
            router: router(),
            server: .http1(configuration: .init(idleTimeout: .seconds(75), httpDecoderConfiguration: decoder)),
            configuration: configuration, services: [EngineService(engine: state.engine)],
            onServerRunning: { channel in onReady(channel.localAddress?.port ?? state.options.port) }, logger: logger)
        do {
            try await application.runService()
        } catch {
            throw ServerError(error, host: state.options.host, port: state.options.port) ?? error
        }
    }

    private func router() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        let state = state
        router.middlewares.add(AccessMiddleware(server: state))
        let status = StatusRoutes(server: state)
        router.get("health") { _, _ in Response.json(.object(["status": .text("ok")])) }
        router.get("v1/models") { _, _ in status.models() }
        router.get("metrics") { _, _ in
            Response.text(state.metrics.text(await state.engine.statistics), type: "text/plain; version=0.0.4; charset=utf-8")
        }
        router.get("v1/kvlab/pool") { request, _ in try await status.pool(request) }
        router.post("v1/kvlab/play") { request, _ in
            var request = request
            let fields = try await Self.fields(&request, state.options.limits)
            let play = try PlayRequest(fields, server: state, tenant: state.tenant(request))
            return try await PlayRoute(server: state).respond(play, to: request)
        }
        router.get("/") { _, _ in Page.response }
        router.get("tokenizer_info") { request, _ in try status.tokenizerInfo(request) }
        router.post("tokenize") { request, _ in try await status.tokenize(try await fields(request)) }
        router.post("detokenize") { request, _ in try await status.detokenize(try await fields(request)) }
        for path in ["v1/completions", "v1/chat/completions"] as [RouterPath] {
            let isChat = path == "v1/chat/completions"
            router.post(path) { request, _ in
                var request = request
                let fields = try await Self.fields(&request, state.options.limits)
                let limits = state.options.limits
                let tenant = ServerState.tenant(
                    authorization: request.headers[.authorization], salt: try fields.string("cache_salt"))
                let id = (isChat ? "chatcmpl-" : "cmpl-") + UUID().uuidString.lowercased()
                func head(_ model: Int) -> AnswerHead {
                    AnswerHead(
                        id: id, object: isChat ? "chat.completion" : "text_completion",
                        created: Int(Date().timeIntervalSince1970),
                        model: state.models[model].id)
                }
                if isChat {
                    let chat = try await LongWork.run(bytes: fields.size) {
                        try ChatRequest(
                            fields, models: state.models, limits: limits, capacity: state.engine.capacity, tenant: tenant)
                    }
                    return try await ChatRoute(server: state).respond(chat, head: head(chat.model), to: request)
                }
                let completion = try await LongWork.run(bytes: fields.size) {
                    try CompletionRequest(
                        fields, models: state.models, limits: limits, capacity: state.engine.capacity, tenant: tenant)
                }
                return try await CompletionRoute(server: state).respond(completion, head: head(completion.model), to: request)
            }
        }
        return router
    }

    @Sendable private func fields(_ request: Request) async throws -> RequestFields {
        var request = request
        return try await Self.fields(&request, state.options.limits)
    }

    private static func fields(_ request: inout Request, _ limits: ServerLimits) async throws -> RequestFields {
        if let length = request.headers[.contentLength].flatMap({ Int($0) }), length > limits.bodyBytes {
            throw APIError(.contentTooLarge, "the body is larger than \(limits.bodyBytes) bytes")
        }
        let buffer = try await request.collectBody(upTo: limits.bodyBytes)
        return try await LongWork.run(bytes: buffer.readableBytes) { try RequestFields(Array(buffer.readableBytesView)) }
    }
}

/// Runs the engine beside the server, and stops it once the server has drained.
private struct EngineService: Service {
    let engine: Engine

    func run() async throws {
        // The engine sleeps until it is told to stop: a server that could not start, or that is cancelled, has to tell it too.
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                await engine.run()
            } onGracefulShutdown: {
                Task { await engine.stop() }
            }
        } onCancel: {
            Task { await engine.stop() }
        }
    }
}
