import Hummingbird
import HummingbirdCore
import Logging
import NIOCore
import NIOHTTP1

/// Hummingbird's HTTP/1 connections with a ``ConnectionHandler`` in each.
struct GuardedHTTP1: ServerChildChannel {
    let http1: HTTP1Channel
    let connections: Connections
    let writeSeconds: Int
    let onRefusal: @Sendable (APIError) -> Void

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<HTTP1Channel.Value> {
        connections.add(channel)
        return http1.setup(channel: channel, logger: logger).flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            // Behind the decoder, whose errors it sees, and before all that knows only requests.
            let decoder = try pipeline.handler(type: ByteToMessageHandler<HTTPRequestDecoder>.self)
            try pipeline.addHandler(
                ConnectionHandler(writeSeconds: writeSeconds, onRefusal: onRefusal), position: .after(decoder))
            return value
        }
    }

    func handle(value: HTTP1Channel.Value, logger: Logger) async { await http1.handle(value: value, logger: logger) }
}

/// What a connection owes its client beside the answers: an error object where it cannot be understood, an end where the client
/// doesn't read or doesn't want more, and nothing where it has left.
///
/// **Who has left.** A client that closes its connection and one that only closes its sending half look alike at first: both
/// send the end of their input. So something harmless is written to it — `100 Continue` before an answer, a comment within a
/// stream of events. Who has left answers with a reset, which closes the connection and thereby ends its request; who has not,
/// gets the answer. HTTP/1.0 has no `100 Continue`: the end of its input before an answer to a POST, which may have hours of
/// work behind it, is taken for leaving, as proxies mean it; all else is answered, wanted or not.
final class ConnectionHandler: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias InboundOut = HTTPServerRequestPart
    typealias OutboundIn = HTTPServerResponsePart
    typealias OutboundOut = HTTPServerResponsePart

    private struct Open {
        /// Whether the connection ends with its answer.
        var closes: Bool
        let isOld: Bool
        let isPost: Bool
    }

    private enum Answer { case none, begun, events }

    private let writeSeconds: Int
    private let onRefusal: @Sendable (APIError) -> Void
    /// Requests without a whole answer, the oldest first.
    private var open: [Open] = []
    /// Whether the last of them is still coming in.
    private var isReading = false
    private var answer = Answer.none
    private var sawEnd = false
    /// Whether nothing more can be understood of what comes in.
    private var isBroken = false
    private var isClosing = false
    private var deadline: Scheduled<Void>?

    init(writeSeconds: Int, onRefusal: @escaping @Sendable (APIError) -> Void) {
        self.writeSeconds = writeSeconds
        self.onRefusal = onRefusal
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isClosing else { return }
        switch unwrapInboundIn(data) {
        case .head(let head):
            let isOld = head.version != .http1_1
            open.append(Open(closes: isOld || !head.isKeepAlive, isOld: isOld, isPost: head.method == .POST))
            isReading = true
            // A client that asks first sends the body only then. With answers outstanding it would take this for part of one.
            if !isOld, open.count == 1, head.headers["expect"].contains(where: { $0.lowercased() == "100-continue" }) {
                goOn(context: context)
            }
        case .body: break
        case .end: isReading = false
        }
        context.fireChannelRead(data)
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        guard !isClosing else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        switch unwrapOutboundIn(data) {
        case .head(var head) where head.status.code >= 200:
            if head.headers["connection"].contains(where: { $0.lowercased() == "close" }), !open.isEmpty { open[0].closes = true }
            if open.first?.closes == true { head.headers.replaceOrAdd(name: "connection", value: "close") }
            if open.first?.isOld == true { head.version = .http1_0 }
            answer = head.headers.first(name: "content-type")?.hasPrefix("text/event-stream") == true ? .events : .begun
            context.write(wrapOutboundOut(.head(head)), promise: promise)
        case .end:
            let closes = open.first?.closes ?? true
            if !open.isEmpty { open.removeFirst() }
            answer = .none
            guard closes || sawEnd && open.isEmpty else { return context.write(data, promise: promise) }
            finish(context: context, data, promise)
        default: context.write(data, promise: promise)
        }
    }

    /// Writes an answer's end and closes behind it, slowly enough for the client to read it.
    private func finish(context: ChannelHandlerContext, _ end: NIOAny, _ promise: EventLoopPromise<Void>?) {
        isClosing = true
        let promise = promise ?? context.eventLoop.makePromise()
        schedule(context: context, seconds: writeSeconds)
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        promise.futureResult.whenComplete { _ in
            let (handler, context) = bound.value
            // Closed while the client still sends, the connection would be reset, and the answer lost with it.
            context.close(mode: .output, promise: nil)
            handler.schedule(context: context, seconds: 2)
        }
        context.write(end, promise: promise)
    }

    private func schedule(context: ChannelHandlerContext, seconds: Int) {
        deadline?.cancel()
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: .seconds(Int64(seconds))) { bound.value.close(promise: nil) }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if !context.channel.isWritable {
            // The client has this long to read some of what waits for it.
            schedule(context: context, seconds: writeSeconds)
        } else if !isClosing {
            deadline?.cancel()
            deadline = nil
        }
        context.fireChannelWritabilityChanged()
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        sawEnd = true
        guard !isClosing else { return context.close(promise: nil) }
        guard !open.isEmpty, !isReading, !isBroken else { return context.fireUserInboundEventTriggered(event) }
        switch answer {
        case .none where open[0].isOld: if open[0].isPost { context.close(promise: nil) }
        case .none: goOn(context: context)
        case .events: context.writeAndFlush(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: ": \n\n")))), promise: nil)
        case .begun: break
        }
    }

    private func goOn(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(.head(HTTPResponseHead(version: .http1_1, status: .continue))), promise: nil)
    }

    func channelInactive(context: ChannelHandlerContext) {
        deadline?.cancel()
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard let error = error as? HTTPParserError, !isClosing else { return context.fireErrorCaught(error) }
        isBroken = true
        if isReading {
            // Whoever reads the body is told, and answers.
            isReading = false
            open[open.count - 1].closes = true
            return context.fireErrorCaught(error)
        }
        // Those that came before get their answers first.
        guard open.isEmpty else {
            open[open.count - 1].closes = true
            return
        }
        let refusal =
            error == .headerOverflow
            ? APIError(.requestHeaderFieldsTooLarge, "the request's headers are too large")
            : APIError(.badRequest, "the request is not valid HTTP: \(error)")
        onRefusal(refusal)
        let body = refusal.json.compact
        var head = HTTPResponseHead(version: .http1_1, status: .init(statusCode: refusal.status.code))
        head.headers = ["content-type": "application/json", "content-length": "\(body.count)", "connection": "close"]
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(bytes: body)))), promise: nil)
        finish(context: context, wrapOutboundOut(.end(nil)), nil)
        context.flush()
    }
}
