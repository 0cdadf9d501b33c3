import Glibc

/// A value that one thread at a time may touch.
///
/// Over pthread's mutex, not Synchronization's: the thread sanitizer knows only that, and without it takes memory that the storage pool
/// hands from one thread to another for a race.
@safe public final class Lock<Value: ~Copyable>: @unchecked Sendable {
    // Sendable: the value is touched between lock and unlock alone.
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private var value: Value

    /// Guards `value`.
    public init(_ value: consuming sending Value) {
        self.value = value
        unsafe pthread_mutex_init(mutex, nil)
    }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deallocate()
    }

    /// Calls `body` with the value, and nobody else meanwhile.
    @inline(__always)
    public func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return body(&value)
    }
}
