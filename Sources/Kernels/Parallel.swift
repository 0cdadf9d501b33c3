import CKernels
import COpenBLAS

/// How kernels split their work over threads.
public enum Parallel {
    private static let current = Lock<ThreadPool?>(nil)

    /// The pool in force: as many threads as set, else as the process may run on.
    static var pool: ThreadPool {
        current.withLock { pool in
            if let pool { return pool }
            let made = make(defaultThreads)
            pool = made
            return made
        }
    }

    /// Threads in use, the caller's included.
    public static var threads: Int { pool.threads }

    /// Uses `threads` from now on; call before work begins, not in the middle of it.
    public static func setThreads(_ threads: Int) {
        current.withLock { pool in
            if pool?.threads != max(1, threads) { pool = make(threads) }
        }
    }

    private static func make(_ threads: Int) -> ThreadPool {
        // OpenBLAS's own threads never run on top of the pool's.
        openblas_set_num_threads(1)
        return ThreadPool(threads: threads)
    }

    /// The processors this process may run on.
    public static var defaultThreads: Int { Int(kk_processors()) }

    /// Calls `body` for each unit, spread over the pool.
    public static func forEach(_ units: Int, _ body: @Sendable (Int) -> Void) {
        pool.forEach(units, body)
    }

    /// Calls `body` for each unit, where `body` takes storages of `scratch` elements for its own use.
    static func forEach(_ units: Int, scratch: [Int], _ body: @Sendable (Int) -> Void) {
        let pool = pool
        StoragePool.shared.reserve(scratch, copies: min(units, pool.threads))
        pool.forEach(units, body)
    }

    /// Calls `body` with ranges that cut 0 ..< `count` into pieces of at least `grain`, one or a few a thread.
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

    /// Calls `body` with ranges that cut 0 ..< `count`: three quarters of its share for each thread, then ever a half of a
    /// thread's share of what is left.
    ///
    /// The first ones are long, for what reads memory in a row; the last ones are short, so that no thread waits long for
    /// another. The cuts depend on `count` and the number of threads alone.
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

    /// The instruction set the vector kernels were chosen for: base, v3 (AVX2) or v4 (AVX-512).
    public static var instructionSet: String { unsafe String(cString: Table.best.pointee.name) }
}
