import Threads

/// Backpressure between the task that makes a stream's chunks and the task that writes them: for a client that reads slowly the
/// whole answer would be held as JSON, which takes many times the memory of its tokens.
final class ChunkGate: Sendable {
    private struct State {
        var pending = 0
        var isOpen = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Lock(State())
    private let limit: Int

    /// A gate that lets `limit` chunks wait to be written.
    init(limit: Int) { self.limit = limit }

    /// Counts one more chunk, and waits where too many do already; for one caller at a time.
    func enter() async {
        await withCheckedContinuation { continuation in
            let passes = state.withLock { state in
                state.pending += 1
                guard state.pending > limit, !state.isOpen else { return true }
                state.waiter = continuation
                return false
            }
            if passes { continuation.resume() }
        }
    }

    /// A chunk was written.
    func leave() {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.pending -= 1
            guard state.pending <= limit else { return nil }
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }

    /// Ends all waiting, as nothing is written any more.
    func open() {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            state.isOpen = true
            defer { state.waiter = nil }
            return state.waiter
        }
        waiter?.resume()
    }
}
