import Glibc

/// A mutex around a value.
///
/// By pthread's mutex, not Synchronization's: the thread sanitizer knows only the former, and would report memory that the
/// storage pool hands from one thread to another as a race.
@safe public final class Lock<Value: ~Copyable>: @unchecked Sendable {
    // Sendable: the value is accessed only between lock and unlock.
    @usableFromInline let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    @usableFromInline var value: Value

    /// Guards `value`.
    public init(_ value: consuming sending Value) {
        self.value = value
        unsafe pthread_mutex_init(mutex, nil)
    }

    deinit {
        unsafe pthread_mutex_destroy(mutex)
        unsafe mutex.deallocate()
    }

    /// Calls `body` with the value while the lock is held.
    @inlinable @inline(__always)
    public func withLock<Result>(_ body: (inout Value) -> Result) -> Result {
        unsafe pthread_mutex_lock(mutex)
        defer { unsafe pthread_mutex_unlock(mutex) }
        return body(&value)
    }
}
