import Synchronization

/// A profile of a step's time by op: each mark charges the time since the last mark to its op.
///
/// Ops run one after the other, each spread over threads, so marks at their ends suffice. Off unless started; a mark then costs
/// one atomic load.
public enum OpProfile {
    /// One op's share.
    public struct Entry: Sendable, Equatable {
        /// The op, "… backward" for its pullback.
        public var name: String
        /// Wall-clock seconds in all.
        public var seconds: Double
        /// Number of runs.
        public var calls: Int
    }

    private struct State {
        var entries: [String: Entry] = [:]
        var last = ContinuousClock.now
    }

    private static let isOn = Atomic<Bool>(false)
    private static let state = Mutex(State())

    /// Starts profiling, without earlier marks.
    public static func start() {
        state.withLock { $0 = State() }
        isOn.store(true, ordering: .relaxed)
    }

    /// Charges the time since the last mark to `op`, a function's name as `#function` spells it.
    public static func mark(_ op: StaticString, backward: Bool = false) {
        guard isOn.load(ordering: .relaxed) else { return }
        let name = op.description.prefix { $0 != "(" } + (backward ? " backward" : "")
        state.withLock { state in
            let now = ContinuousClock.now
            state.entries[String(name), default: Entry(name: String(name), seconds: 0, calls: 0)].seconds +=
                (now - state.last) / .seconds(1)
            state.entries[String(name)]?.calls += 1
            state.last = now
        }
    }

    /// Ends profiling and returns the shares, largest first.
    public static func finish() -> [Entry] {
        isOn.store(false, ordering: .relaxed)
        return state.withLock { $0.entries.values.sorted { $0.seconds > $1.seconds } }
    }
}
