import Dispatch
import Glibc
import Synchronization

/// A non-blocking writer of text that may be dropped, such as a log: callers never wait for a slow reader.
///
/// Texts wait in a bounded queue for the writer's own thread, which alone blocks on a slow reader. A text that finds the queue
/// full, or that cannot be written, is dropped and counted; the count is written before the next text. No method throws or traps.
///
/// ```
/// write ──▶ at most `limit` bytes waiting ──▶ a serial dispatch queue ──▶ the descriptor
///              └──▶ dropped, counted             └──▶ failed, counted
/// ```
public final class BackgroundWriter: Sendable {
    private struct State {
        /// Bytes that wait or are being written.
        var waiting = 0
        /// Texts dropped since the last notice of it.
        var dropped = 0
        /// Whether a flush has timed out since the last successful write.
        var isStuck = false
        /// Whether the output ends within a line.
        var isInLine = false
    }

    private let descriptor: Descriptor
    private let limit: Int
    private let state = Mutex(State())
    // Threads belong to Kernels' pool alone; this queue has one, from its first text on and while there are any.
    private let queue: DispatchQueue

    /// A writer to `descriptor`, which stays open.
    ///
    /// - Parameter limit: the bytes that may wait; a text larger than that is taken where nothing else waits.
    public init(descriptor: Int32, limit: Int = 1 << 20) {
        self.descriptor = Descriptor(number: descriptor)
        self.limit = limit
        queue = DispatchQueue(label: "output \(descriptor)")
    }

    /// Writes `text` soon, or drops it where too much waits already; returns at once.
    public func write(_ text: String) {
        let bytes = Array(text.utf8)
        let isTaken = state.withLock { state in
            guard state.waiting == 0 || state.waiting + Self.cost(bytes) <= limit else {
                state.dropped += 1
                return false
            }
            state.waiting += Self.cost(bytes)
            return true
        }
        if isTaken { queue.async { self.put(bytes) } }
    }

    /// Waits until the queue is empty, `seconds` at most; false on a timeout.
    @discardableResult
    public func flush(within seconds: Double) -> Bool {
        let isIdle = state.withLock { $0.waiting == 0 && $0.dropped == 0 }
        guard !isIdle else { return true }
        let done = DispatchSemaphore(value: 0)
        queue.async {
            if self.state.withLock({ $0.dropped > 0 }) { self.put(nil) }
            done.signal()
        }
        guard done.wait(timeout: .now() + seconds) == .timedOut else { return true }
        state.withLock { $0.isStuck = true }
        return false
    }

    /// Waits up to 0.1 s for the queue to empty, so that output elsewhere follows it on a terminal; not at all after a flush that
    /// timed out.
    public func settle() {
        guard state.withLock({ $0.waiting > 0 && !$0.isStuck }) else { return }
        flush(within: 0.1)
    }

    /// Bytes a waiting text is charged with: empty ones have a block in the queue too.
    private static func cost(_ text: [UInt8]) -> Int { text.count + 64 }

    /// Writes the count of dropped texts, then `text`; on the queue alone.
    private func put(_ text: [UInt8]?) {
        let (dropped, isInLine) = state.withLock { state in
            defer { state.dropped = 0 }
            return (state.dropped, state.isInLine)
        }
        let count = dropped == 1 ? "1 line" : "\(dropped) lines"
        let notice = dropped > 0 ? "\(isInLine ? "\n" : "")kvlab: \(count) could not be written here\n" : ""
        let bytes = Array(notice.utf8) + (text ?? [])
        let written = descriptor.write(bytes)
        let isComplete = written.count == bytes.count
        let isLast = state.withLock { state in
            state.waiting -= text.map(Self.cost) ?? 0
            if written.count > 0 {
                state.isInLine = bytes[written.count - 1] != 10
                state.isStuck = false
            }
            guard !isComplete else { return state.waiting == 0 && state.dropped > 0 }
            state.dropped += (written.count < notice.utf8.count ? dropped : 0) + (text == nil ? 0 : 1)
            return false
        }
        // Texts dropped while the last one was being written are counted in a notice of its own: no other text follows.
        if isLast { put(nil) }
    }
}
