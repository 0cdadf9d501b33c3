/// Memory that one unit of work needs for a moment.
///
/// From the stack or the thread's own heap: threads that take it at once don't wait for each other, as they would for the
/// lock of ``StoragePool``.
enum Scratch {
    /// Calls `body` with room for `count` values, of any content, at a multiple of 64 bytes.
    static func with(_ count: Int, _ body: (UnsafeMutablePointer<Float>) -> Void) {
        unsafe withUnsafeTemporaryAllocation(of: Float.self, capacity: count + 15) { values in
            guard let base = values.baseAddress else { return }
            let past = Int(bitPattern: base) / 4 % 16
            unsafe body(base + (16 - past) % 16)
        }
    }
}
