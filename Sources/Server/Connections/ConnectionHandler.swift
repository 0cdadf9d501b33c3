import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1

/// Hummingbird's HTTP/1 connections with a ``ConnectionHandler`` in each.
struct GuardedHTTP1: ServerChildChannel {
    let http1: HTTP1Channel
    let connections: Connections
    let limits: ServerLimits
    let onRefusal: @Sendable (APIError) -> Void

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        let admission = connections.add(channel)
        return http1.setup(channel: channel, logger: logger).flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            let handler = ConnectionHandler(
                limits: limits, isReserved: admission == .reserved, connections: connections, onRefusal: onRefusal)
            // Behind the decoder, whose errors it sees, and before all that knows only requests.
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(handler, position: .after(decoder))
            try pipeline.addHandler(ByteWatch(handler), position: .first)
            return value
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async { await http1.handle(value: value, logger: logger) }
}

/// Carries out the actions of a connection's ``ConnectionState``.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private let limits: ServerLimits
    private let connections: Connections
    private let onRefusal: @Sendable (APIError) -> Void
    private var state: ConnectionState
    private var wasIdle = true
    /// The deadline that is scheduled.
    private var deadline: ConnectionState.Deadline?
    private var scheduled: Scheduled<Void>?
    /// Extensions in a row of the client's time to read.
    private var extensions = 0
    private var context: ChannelHandlerContext?

    init(
        limits: ServerLimits, isReserved: Bool, connections: Connections, onRefusal: @escaping @Sendable (APIError) -> Void
    ) {
        (self.limits, self.connections, self.onRefusal) = (limits, connections, onRefusal)
        state = ConnectionState(isReserved: isReserved)
    }

    func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        settle(context)
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        scheduled?.cancel()
        self.context = nil
    }

    /// Bytes have come in, not decoded yet.
    fileprivate func bytesRead() {
        guard let context else { return }
        state.bytesRead()
        settle(context)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let actions =
            switch unwrapInboundIn(data) {
            case .head(let head): state.headRead(ConnectionState.Head(head))
            case .body: state.bodyRead()
            case .end: state.endRead()
            }
        perform(actions, context) { context.fireChannelRead(data) }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head) where head.status.code >= 200:
            let actions = state.headWritten(
                closes: head.headers["connection"].contains { $0.lowercased() == "close" },
                isEvents: head.headers.first(name: "content-type")?.hasPrefix("text/event-stream") == true)
            if state.answerCloses { head.headers.replaceOrAdd(name: "connection", value: "close") }
            if state.answerIsOld { head.version = .http1_0 }
            perform(actions, context, writing: wrapOutboundOut(.head(head)), promise)
        case .head, .body: perform(state.partWritten(), context, writing: data, promise)
        case .end: perform(state.endWritten(), context, writing: data, promise)
        }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        state.writabilityChanged(context.channel.isWritable)
        perform([.pass], context) { context.fireChannelWritabilityChanged() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        perform(state.inputClosed(), context) { context.fireUserInboundEventTriggered(event) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let parserError = error as? HTTPParserError else { return context.fireErrorCaught(error) }
        perform(
            state.inputFailed(parserError == .headerOverflow ? .headersTooLarge : .invalid), context,
            detail: "\(parserError)"
        ) { context.fireErrorCaught(error) }
    }

    func channelInactive(context: ChannelHandlerContext) {
        state.closed()
        settle(context)
        context.fireChannelInactive()
    }

    private func perform(
        _ actions: [ConnectionState.Action], _ context: ChannelHandlerContext, writing data: NIOAny,
        _ promise: EventLoopPromise<Void>?
    ) {
        let promised = promise ?? context.eventLoop.makePromise()
        perform(actions, context, ending: (data, promised)) { context.write(data, promise: promised) }
    }

    private func perform(
        _ actions: [ConnectionState.Action], _ context: ChannelHandlerContext, detail: String = "",
        ending: (data: NIOAny, promise: EventLoopPromise<Void>)? = nil, pass: () -> Void
    ) {
        for action in actions {
            switch action {
            case .pass: pass()
            case .proceed:
                let head = HTTPResponseHead(version: .http1_1, status: .continue)
                context.writeAndFlush(wrapOutboundOut(.head(head)), promise: nil)
            case .comment:
                context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: ": \n\n")))), promise: nil)
            case .finish:
                guard let ending else { break }
                endOutput(after: ending.promise.futureResult, context)
                context.write(ending.data, promise: ending.promise)
            case .refuse(let refusal): refuse(APIError(refusal, limits, detail: detail), context)
            case .endOutput: endOutput(after: context.eventLoop.makeSucceededVoidFuture(), context)
            case .close: context.close(promise: nil)
            case .drop: ending?.promise.succeed()
            case .fail: ending?.promise.fail(ChannelError.ioOnClosedChannel)
            }
        }
        settle(context)
    }

    /// Writes an error answer as the last one.
    private func refuse(_ refusal: APIError, _ context: ChannelHandlerContext) {
        onRefusal(refusal)
        let body = refusal.json.compact
        var head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: refusal.status.code))
        head.headers = ["content-type": "application/json", "content-length": "\(body.count)", "connection": "close"]
        if let seconds = refusal.retryAfter { head.headers.add(name: "retry-after", value: "\(seconds)") }
        let promise = context.eventLoop.makePromise(of: Void.self)
        endOutput(after: promise.futureResult, context)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        context.writeAndFlush(wrapOutboundOut(.end(nil)), promise: promise)
    }

    /// Closes the output once `written` is. Closed as a whole while the client still sends, the connection would be reset, and
    /// the answer lost with it.
    private func endOutput(after written: EventLoopFuture<Void>, _ context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        written.whenComplete { _ in
            let (handler, context) = bound.value
            handler.state.flushed()
            context.close(mode: .output, promise: nil)
            handler.settle(context)
        }
    }

    private func unsentBytes(_ context: ChannelHandlerContext) -> Int {
        (try? context.channel.syncOptions?.getOption(.bufferedWritableBytes)) ?? 0
    }

    /// Brings the scheduled deadline and the registry of connections in line with the state.
    private func settle(_ context: ChannelHandlerContext) {
        if state.isIdle != wasIdle {
            wasIdle = state.isIdle
            connections.set(context.channel, isIdle: wasIdle)
        }
        guard state.deadline != deadline else { return }
        scheduled?.cancel()
        scheduled = nil
        deadline = state.deadline
        guard let deadline else { return extensions = 0 }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        let unsent = unsentBytes(context)
        scheduled = context.eventLoop.scheduleTask(in: .seconds(Int64(limits.seconds(for: deadline)))) {
            let (handler, context) = bound.value
            handler.deadline = nil
            // A client that has read something gets as long again for the rest, though no longer than a request may take.
            handler.extensions += 1
            if [.reading, .flush].contains(deadline), handler.unsentBytes(context) < unsent,
                handler.extensions * handler.limits.writeSeconds < handler.limits.seconds
            {
                handler.settle(context)
            } else {
                handler.perform(handler.state.deadlinePassed(), context) {}
            }
        }
    }
}

/// Tells a ``ConnectionHandler`` that bytes have come, before they are decoded: the start of a request's head is seen here alone.
private final class ByteWatch: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    private let handler: ConnectionHandler

    init(_ handler: ConnectionHandler) { self.handler = handler }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        handler.bytesRead()
        context.fireChannelRead(data)
    }
}

extension ConnectionState.Head {
    fileprivate init(_ head: HTTPRequestHead) {
        isOld = head.version != .http1_1
        keepsAlive = head.isKeepAlive
        isPost = head.method == .POST
        isHealth = [.GET, .HEAD].contains(head.method) && Route.health.matches(String(head.uri.prefix { $0 != "?" }))
        expectsContinue = head.headers["expect"].contains { $0.lowercased() == "100-continue" }
    }
}

extension ServerLimits {
    fileprivate func seconds(for deadline: ConnectionState.Deadline) -> Int {
        switch deadline {
        case .head: headSeconds
        case .body: bodySeconds
        case .reading, .flush: writeSeconds
        case .linger: 2
        }
    }
}

extension APIError {
    /// The answer of a connection that reads no further.
    fileprivate init(_ refusal: ConnectionState.Refusal, _ limits: ServerLimits, detail: String) {
        switch refusal {
        case .invalid: self.init(.badRequest, "the request is not valid HTTP: \(detail)")
        case .headersTooLarge: self.init(.requestHeaderFieldsTooLarge, "the request's headers are too large")
        case .headersTooLate:
            self.init(
                .requestTimeout, "the request's headers did not come within \(limits.headSeconds) s", type: "timeout_error")
        case .busy:
            self.init(
                .serviceUnavailable,
                "all \(limits.connections) connections that --connections allows are at work; try again",
                code: "too_many_connections",
                retryAfter: 1)
        }
    }
}
