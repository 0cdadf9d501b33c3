import CKernels

/// How fast memory is read: what bounds decoding, which reads all weights and caches for few products.
public struct MemoryBandwidth: Sendable {
    private let storage: Storage, sums: Storage
    private let count: Int, parts: Int

    /// Makes `bytes` of memory to read, more than caches hold.
    public init(bytes: Int = 512 << 20) {
        count = bytes / 4
        parts = 16 * Parallel.threads
        storage = Storage(repeating: 1, count: count)
        sums = Storage(count: parts)
    }

    /// Bytes a second that all threads read together; the median of `rounds`.
    public func measure(rounds: Int = 5) -> Double {
        let clock = ContinuousClock()
        let seconds = (0..<max(1, rounds)).map { _ -> Double in
            let start = clock.now
            Parallel.forEach(parts) { part in
                let (from, to) = (count * part / parts, count * (part + 1) / parts)
                // A product with itself reads each element once from memory.
                let x = unsafe UnsafePointer(storage.pointer + from)
                unsafe sums.pointer[part] = kernels.dot(x, x, Int64(to - from))
            }
            return (clock.now - start) / .seconds(1)
        }
        return Double(4 * count) / seconds.sorted()[seconds.count / 2]
    }
}
