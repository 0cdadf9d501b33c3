/// Temporary memory of one unit of work.
///
/// From the stack or the thread's own heap: threads that allocate at once don't contend for the lock of ``StoragePool``.
enum Scratch {
    /// Calls `body` with memory for `count` values, of undefined contents, aligned to 64 bytes.
    static func with(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: count + 15) { values in
            guard let base = values.baseAddress else { return }
            let past = Int(bitPattern: base) / 4 % 16
            unsafe body(base + (16 - past) % 16)
        }
    }
}
