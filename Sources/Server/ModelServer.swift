import Foundation
import Hummingbird
import HummingbirdCore
import Inference
import Logging
import NIOCore
import ServiceLifecycle
import UnixSignals

/// The state that all routes share.
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

    /// Notes a request's end: an answer of `status`, or nil where no client took one.
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
        let connections = Connections(limit: options.limits.connections)
        state = ServerState(
            engine: engine, models: models, options: options, metrics: metrics, connections: connections,
            runner: GenerationRunner(engine: engine, connections: connections, seconds: options.limits.seconds), keys: keys,
            holdings: Holdings(options.limits, tenants: keys.tenants),
            started: Int(Date().timeIntervalSince1970))
        self.logger = logger
    }

    /// Serves until SIGTERM or SIGINT, then takes no more requests and lets the running ones come to their end.
    ///
    /// Calls `onReady` with the port. Throws ``ServerError`` where the address cannot be listened on.
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

    /// Runs the server, which drains at the first signal and closes all connections at the second.
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
                                // A client still sending a request or not reading its answer is disconnected.
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

    /// The paths of the API, for help texts.
    public static var paths: [String] { Route.all.map(\.path).filter { $0 != "/" && !$0.hasSuffix("/**") } }

    private func router() -> Router<ServerContext> {
        let router = Router(context: ServerContext.self)
        router.middlewares.add(AccessMiddleware(server: state))
        for route in Route.all { route.add(to: router, state) }
        return router
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
