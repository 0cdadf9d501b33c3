import Kernels
import NIOCore

/// The connections that are open: who works for one is told when it closes, and all can be closed at once.
final class Connections: Sendable {
    private struct State {
        var channels: [ObjectIdentifier: any Channel] = [:]
        /// What to do when a connection closes, by its number.
        var onClose: [ObjectIdentifier: [Int: @Sendable () -> Void]] = [:]
        var next = 0
        var isShut = false
    }

    private let state = Lock(State())

    /// Takes a connection on until it closes; one that comes after ``closeAll()`` is closed at once.
    func add(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        let isShut = state.withLock { state in
            state.channels[id] = channel
            return state.isShut
        }
        channel.closeFuture.whenComplete { _ in
            let handlers = self.state.withLock { state in
                state.channels[id] = nil
                return state.onClose.removeValue(forKey: id) ?? [:]
            }
            for handler in handlers.values { handler() }
        }
        if isShut { channel.close(promise: nil) }
    }

    /// Closes all, whatever they are at.
    func closeAll() {
        let channels = state.withLock { state in
            state.isShut = true
            return Array(state.channels.values)
        }
        for channel in channels { channel.close(promise: nil) }
    }

    /// How many there are.
    var count: Int { state.withLock { $0.channels.count } }

    /// Runs `body`, and cancels it where the connection closes meanwhile.
    func whileOpen<Value: Sendable>(
        _ channel: any Channel, _ body: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        let work = Task { try await body() }
        let number = onClose(of: channel) { work.cancel() }
        defer { forget(number, of: channel) }
        return try await withTaskCancellationHandler {
            try await work.value
        } onCancel: {
            work.cancel()
        }
    }

    /// Calls `handler` once the connection closes, at once where it has, unless ``forget(_:of:)`` comes first.
    private func onClose(of channel: any Channel, _ handler: @escaping @Sendable () -> Void) -> Int {
        let number: Int? = state.withLock { state in
            let id = ObjectIdentifier(channel)
            guard state.channels[id] != nil else { return nil }
            state.next += 1
            state.onClose[id, default: [:]][state.next] = handler
            return state.next
        }
        if number == nil { handler() }
        return number ?? 0
    }

    private func forget(_ number: Int, of channel: any Channel) {
        state.withLock { _ = $0.onClose[ObjectIdentifier(channel)]?.removeValue(forKey: number) }
    }
}
