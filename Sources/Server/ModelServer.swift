import Foundation
import Hummingbird
import HummingbirdCore
import Inference
import JSON
import Logging
import NIOCore
import ServiceLifecycle
import UnixSignals

/// What all routes share.
struct ServerState: Sendable {
    let engine: Engine
    let models: [ServedModel]
    let options: ServerOptions
    let metrics: ServerMetrics
    let connections: Connections
    let runner: GenerationRunner
    let keys: KeyRing
    let holdings: Holdings
    let started: Int

    /// Notes a request's end: an answer of `status`, or nil for none that anybody took.
    func ended(_ record: RequestRecord, status: Int?) {
        record.update { summary in
            summary.status = status
            summary.seconds = record.seconds
            if status == nil { summary.finishReason = "abort" }
        }
        metrics.ended(record.summary)
        options.onRequest?(record.summary)
    }
}

/// An OpenAI-compatible server over an engine.
public struct ModelServer: Sendable {
    private let state: ServerState
    private let logger: Logger

    /// A server for `models`, which are the engine's, in the same order.
    public init(engine: Engine, models: [ServedModel], options: ServerOptions = ServerOptions(), logger: Logger) {
        let metrics = ServerMetrics(prefix: options.metricsPrefix, models: models.map(\.id))
        let keys = KeyRing(options.apiKeys, admin: options.adminKey)
        var options = options
        let room = DescriptorLimit.connections(wanted: options.limits.connections)
        if room < options.limits.connections {
            logger.warning(
                "the limit of open files (ulimit -n) leaves room for \(room) of \(options.limits.connections) connections")
            options.limits.connections = room
        }
        state = ServerState(
            engine: engine, models: models, options: options, metrics: metrics,
            connections: Connections(limit: options.limits.connections),
            runner: GenerationRunner(engine: engine, seconds: options.limits.seconds), keys: keys,
            holdings: Holdings(options.limits, tenants: keys.tenants),
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
        let (state, limits) = (state, state.options.limits)
        guard limits.connections > 0 else {
            throw ServerError.noDescriptors(needed: DescriptorLimit.others + Connections.reserve)
        }
        // Connections that were told to close to make room are counted until they have.
        configuration.availableConnectionsDelegate = MaximumAvailableConnections(
            limits.connections + Connections.reserve + 32, logger: logger)
        let server = HTTPServerBuilder { responder in
            GuardedHTTP1(
                http1: HTTP1Channel(
                    responder: responder, configuration: .init(idleTimeout: .seconds(75), httpDecoderConfiguration: decoder)),
                connections: state.connections, limits: limits,
                onRefusal: { refusal in
                    // Not one header could be read: all that is known is how it was answered.
                    let record = RequestRecord()
                    record.update { $0.error = refusal.message }
                    state.ended(record, status: refusal.status.code)
                })
        }
        let application = Application(
            router: router(), server: server, configuration: configuration, services: [EngineService(engine: state.engine)],
            onServerRunning: { channel in onReady(channel.localAddress?.port ?? state.options.port) }, logger: logger)
        do {
            try await run(ServiceGroup(configuration: .init(services: [application], logger: logger)))
        } catch {
            throw ServerError(error, host: state.options.host, port: state.options.port) ?? error
        }
    }

    /// Runs the server, which stops at the first signal in its own time, at the second in no time.
    private func run(_ group: ServiceGroup) async throws {
        let (connections, seconds) = (state.connections, state.options.drainSeconds)
        try await withTaskCancellationHandler {
            try await withThrowingTaskGroup(of: Void.self) { tasks in
                tasks.addTask { try await group.run() }
                tasks.addTask {
                    await withDiscardingTaskGroup { deadline in
                        var isFirst = true
                        for await _ in await UnixSignalsSequence(trapping: .sigterm, .sigint) {
                            guard isFirst else {
                                connections.closeAll()
                                continue
                            }
                            isFirst = false
                            await group.triggerGracefulShutdown()
                            deadline.addTask {
                                // Who is still sending a request or not reading its answer by then is let go of.
                                if (try? await Task.sleep(for: .seconds(seconds))) != nil { connections.closeAll() }
                            }
                        }
                        deadline.cancelAll()
                    }
                }
                defer { tasks.cancelAll() }
                try await tasks.next()
            }
        } onCancel: {
            connections.closeAll()
        }
    }

    /// The methods a route takes; none where there is no such route.
    static func methods(of path: String) -> [String] {
        switch path {
        case "/", "/health": ["GET", "HEAD"]
        case "/v1/models", "/metrics", "/v1/kvlab/pool", "/tokenizer_info": ["GET"]
        case "/tokenize", "/detokenize", "/v1/completions", "/v1/chat/completions", "/v1/kvlab/play": ["POST"]
        default: path.hasPrefix("/v1/models/") ? ["GET"] : []
        }
    }

    private func router() -> Router<ServerContext> {
        let router = Router(context: ServerContext.self)
        let state = state
        router.middlewares.add(AccessMiddleware(server: state))
        let status = StatusRoutes(server: state)
        let health = Response.json(.object(["status": .text("ok")]))
        router.get("health") { _, _ in health }
        router.head("health") { _, _ in Response(status: .ok, headers: health.headers) }
        router.head("/") { _, _ in Response(status: .ok, headers: Playground.response.headers) }
        router.get("v1/models") { _, _ in status.models() }
        // An id may have slashes.
        router.get("v1/models/**") { _, context in try status.model(context.parameters.getCatchAll().joined(separator: "/")) }
        router.get("metrics") { _, context in
            guard state.keys.showsMetrics(to: context.caller) else {
                throw APIError(
                    .forbidden, "/metrics shows all tenants' load; send the admin key", code: "admin_key_required")
            }
            return Response.text(
                state.metrics.text(await state.engine.statistics), type: "text/plain; version=0.0.4; charset=utf-8")
        }
        router.get("v1/kvlab/pool") { request, context in try await status.pool(request, for: context.caller) }
        router.post("v1/kvlab/play") { request, context in
            let fields = try await fields(request, context)
            let tenant = context.caller.tenant
            let play = try await LongWork.run(bytes: fields.size) { try PlayRequest(fields, server: state, tenant: tenant) }
            for completion in play.completions { try context.record.held?.take(Holdings.Amounts(tokens: completion.heldTokens)) }
            return try await PlayRoute(server: state).respond(play, context)
        }
        router.get("/") { _, _ in Playground.response }
        router.get("tokenizer_info") { request, _ in try status.tokenizerInfo(request) }
        router.post("tokenize") { request, context in try await status.tokenize(try await fields(request, context)) }
        router.post("detokenize") { request, context in try await status.detokenize(try await fields(request, context)) }
        for path in ["v1/completions", "v1/chat/completions"] as [RouterPath] {
            let isChat = path == "v1/chat/completions"
            router.post(path) { request, context in
                let fields = try await fields(request, context)
                let (limits, tenant) = (state.options.limits, context.caller.tenant)
                let id = (isChat ? "chatcmpl-" : "cmpl-") + UUID().uuidString.lowercased()
                func head(_ model: Int, prompts: [[Int32]]) -> AnswerHead {
                    let name = state.models[model].id
                    context.record.update { summary in
                        (summary.id, summary.model) = (id, name)
                        summary.promptTokens = prompts.reduce(0) { $0 + $1.count }
                    }
                    return AnswerHead(
                        id: id, object: isChat ? "chat.completion" : "text_completion",
                        created: Int(Date().timeIntervalSince1970), model: name)
                }
                if isChat {
                    let chat = try await LongWork.render {
                        try ChatRequest(
                            fields, models: state.models, limits: limits, capacity: state.engine.capacity, tenant: tenant)
                    }
                    try context.record.held?.take(Holdings.Amounts(tokens: chat.heldTokens))
                    return try await ChatRoute(server: state).respond(
                        chat, head: head(chat.model, prompts: [chat.prompt]), context)
                }
                let completion = try await LongWork.run(bytes: fields.size) {
                    try CompletionRequest(
                        fields, models: state.models, limits: limits, capacity: state.engine.capacity, tenant: tenant)
                }
                try context.record.held?.take(Holdings.Amounts(tokens: completion.heldTokens))
                return try await CompletionRoute(server: state).respond(
                    completion, head: head(completion.model, prompts: completion.prompts), context)
            }
        }
        return router
    }

    /// A request's body, which has to come within ``ServerLimits/bodySeconds``.
    @Sendable private func fields(_ request: Request, _ context: ServerContext) async throws -> RequestFields {
        let limits = state.options.limits
        let length = request.headers[.contentLength].flatMap { Int($0) } ?? limits.bodyBytes
        guard length <= limits.bodyBytes else {
            throw APIError(.contentTooLarge, "the body is larger than \(limits.bodyBytes) bytes").closing
        }
        do throws(APIError) { try context.record.held?.take(Holdings.Amounts(bytes: length)) } catch { throw error.closing }
        let body = try await withThrowingTaskGroup(of: ByteBuffer.self) { group in
            group.addTask {
                var request = request
                return try await request.collectBody(upTo: limits.bodyBytes)
            }
            group.addTask {
                try await Task.sleep(for: .seconds(limits.bodySeconds))
                throw APIError(.requestTimeout, "the body did not come within \(limits.bodySeconds) s", type: "timeout_error")
                    .closing
            }
            defer { group.cancelAll() }
            guard let body = try await group.next() else { throw CancellationError() }
            return body
        }
        // A body of unknown length counted as the longest.
        context.record.held?.give(Holdings.Amounts(bytes: length - min(length, body.readableBytes)))
        return try await LongWork.run(bytes: body.readableBytes) { try RequestFields(Array(body.readableBytesView)) }
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
