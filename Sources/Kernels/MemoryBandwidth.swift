import CKernels

/// How fast memory is read: what bounds decoding, which reads all weights and caches for few products.
public enum MemoryBandwidth {
    /// Bytes a second that all threads read together from `bytes` of memory, more than caches hold; the median of `rounds`.
    public static func measure(bytes: Int = 512 << 20, rounds: Int = 5) -> Double {
        let count = bytes / 4
        let storage = Storage(repeating: 1, count: count)
        let parts = 16 * Parallel.threads
        let sums = Storage(count: parts)
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
