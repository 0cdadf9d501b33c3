import CThreads

/// Parallel loops on the process's thread pool.
public enum Parallel {
    private static let current = Lock<ThreadPool?>(nil)

    /// The pool in use: of the threads set, else of the processors available to the process.
    static var pool: ThreadPool {
        current.withLock { pool in
            if let pool { return pool }
            let made = ThreadPool(threads: defaultThreads)
            pool = made
            return made
        }
    }

    /// Threads in use, the caller's included.
    public static var threads: Int { pool.threads }

    /// Sets the number of threads; call before any work begins.
    public static func setThreads(_ threads: Int) {
        current.withLock { pool in
            if pool?.threads != max(1, threads) { pool = ThreadPool(threads: threads) }
        }
    }

    /// The number of processors available to this process.
    public static var defaultThreads: Int { Int(ct_processors()) }

    /// Calls `body` for each unit, in parallel.
    public static func forEach(_ units: Int, _ body: @Sendable (Int) -> Void) {
        pool.forEach(units, body)
    }

    /// Calls `body` with ranges that divide 0 ..< `count` into pieces of at least `grain`, one or a few a thread.
    ///
    /// The cuts depend on `count`, `grain` and the number of threads alone.
    public static func forRanges(_ count: Int, grain: Int, _ body: @Sendable (Range<Int>) -> Void) {
        let pieces = min((count + grain - 1) / max(grain, 1), threads)
        guard pieces > 1 else {
            if count > 0 { body(0..<count) }
            return
        }
        forEach(pieces) { piece in body(count * piece / pieces..<count * (piece + 1) / pieces) }
    }

    /// Calls `body` with ranges of decreasing length that divide 0 ..< `count`: three quarters of its share for each thread, then
    /// repeatedly half a thread's share of the rest (guided scheduling).
    ///
    /// Long ranges first suit sequential reads; short ones last balance the threads' load. The cuts depend on `count` and the
    /// number of threads alone.
    public static func forShrinkingRanges(_ count: Int, _ body: @Sendable (Range<Int>) -> Void) {
        let pool = pool
        guard pool.threads > 1 else {
            if count > 0 { body(0..<count) }
            return
        }
        let long = count * 3 / (4 * pool.threads)
        var starts = long > 0 ? (0...pool.threads).map { $0 * long } : [0]
        while let last = starts.last, last < count { starts.append(last + max(1, (count - last) / (2 * pool.threads))) }
        let cuts = starts
        pool.forEach(cuts.count - 1) { body(cuts[$0]..<cuts[$0 + 1]) }
    }
}
