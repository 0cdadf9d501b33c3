import CKernels
import Threads

/// Measures the memory bandwidth, which bounds decoding: it reads all weights and caches for few products.
public struct MemoryBandwidth: Sendable {
    private let storage: Storage
    private let words: Int, parts: Int

    /// Allocates `bytes` of memory to read, more than the processor's caches hold.
    public init(bytes: Int = 512 << 20) {
        words = bytes / 8
        parts = 16 * Parallel.threads
        storage = Storage(repeating: 1, count: 2 * words)
    }

    /// Bytes a second read by all threads together; the median of `rounds`.
    public func measure(rounds: Int = 5) -> Double {
        let clock = ContinuousClock()
        let seconds = (0..<max(1, rounds)).map { _ -> Double in
            let start = clock.now
            Parallel.forEach(parts) { part in
                let (from, to) = (words * part / parts, words * (part + 1) / parts)
                unsafe (storage.pointer + 2 * from).withMemoryRebound(to: UInt64.self, capacity: to - from) {
                    _ = unsafe kernels.read($0, Int64(to - from))
                }
            }
            return (clock.now - start) / .seconds(1)
        }
        return Double(8 * words) / seconds.sorted()[seconds.count / 2]
    }
}
