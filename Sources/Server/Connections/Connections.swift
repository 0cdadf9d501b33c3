import NIOCore
import Threads

/// The open connections: bounds their number, ends the work for one that closes, and closes all at once.
///
/// A new connection always gets in. Where all places are taken it has the place of the connection that has been idle longest,
/// be it between two requests or before its first one. Where none is idle, every connection has a request at work: then the new
/// one is reserved, which serves `/health` alone and refuses the rest. Reserved connections have places of their own.
final class Connections: Sendable {
    /// The service that a new connection gets.
    enum Admission { case full, reserved }

    private struct Entry {
        let channel: any Channel
        let admission: Admission
        /// When it became idle, in the order of all such moments; nil while a request is at work.
        var idleSince: Int?
        /// Whether it was told to close, and counts no longer.
        var isClosing = false
        /// Called when it closes, by number.
        var onClose: [Int: @Sendable () -> Void] = [:]
    }

    private struct State {
        var entries: [ObjectIdentifier: Entry] = [:]
        var next = 0
        var isShut = false

        mutating func number() -> Int {
            next += 1
            return next
        }

        /// The connection that gives up its place among those of an admission; nil where there is room or none is idle.
        mutating func evict(_ admission: Admission, beyond limit: Int) -> (hasRoom: Bool, victim: (any Channel)?) {
            let held = entries.filter { $0.value.admission == admission && !$0.value.isClosing }
            guard held.count >= limit else { return (true, nil) }
            let idle = held.filter { $0.value.idleSince != nil }
            guard let (id, entry) = idle.min(by: { ($0.value.idleSince ?? 0) < ($1.value.idleSince ?? 0) }) else {
                return (false, nil)
            }
            entries[id]?.isClosing = true
            return (true, entry.channel)
        }
    }

    private let state = Lock(State())
    private let limit: Int

    /// Places of reserved connections.
    static let reserve = 32

    /// A registry of at most `limit` connections, beside the reserved ones.
    init(limit: Int) { self.limit = limit }

    /// Takes a connection on until it closes; one that comes after ``closeAll()`` is closed at once.
    func add(_ channel: any Channel) -> Admission {
        let id = ObjectIdentifier(channel)
        let (admission, closed) = state.withLock { state -> (Admission, (any Channel)?) in
            var (admission, place) = (Admission.full, state.evict(.full, beyond: limit))
            if !place.hasRoom { (admission, place) = (.reserved, state.evict(.reserved, beyond: Self.reserve)) }
            state.entries[id] = Entry(channel: channel, admission: admission, idleSince: state.number())
            return (admission, state.isShut || !place.hasRoom ? channel : place.victim)
        }
        channel.closeFuture.whenComplete { _ in
            let entry = self.state.withLock { $0.entries.removeValue(forKey: id) }
            for handler in (entry?.onClose ?? [:]).values { handler() }
        }
        closed?.close(promise: nil)
        return admission
    }

    /// Marks a connection as idle, or as busy with a request.
    func set(_ channel: any Channel, isIdle: Bool) {
        state.withLock { state in
            let since = isIdle ? state.number() : nil
            state.entries[ObjectIdentifier(channel)]?.idleSince = since
        }
    }

    /// Closes all connections at once.
    func closeAll() {
        let channels = state.withLock { state in
            state.isShut = true
            return state.entries.values.map(\.channel)
        }
        for channel in channels { channel.close(promise: nil) }
    }

    /// Calls `handler` once the connection closes, at once where it has, unless ``forget(_:of:)`` comes first.
    func onClose(of channel: any Channel, _ handler: @escaping @Sendable () -> Void) -> Int {
        let number: Int? = state.withLock { state in
            let id = ObjectIdentifier(channel)
            guard state.entries[id] != nil else { return nil }
            let number = state.number()
            state.entries[id]?.onClose[number] = handler
            return number
        }
        if number == nil { handler() }
        return number ?? 0
    }

    /// Takes back the call of the handler with this number.
    func forget(_ number: Int, of channel: any Channel) {
        state.withLock { _ = $0.entries[ObjectIdentifier(channel)]?.onClose.removeValue(forKey: number) }
    }
}
