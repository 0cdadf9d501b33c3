import CThreads
import Glibc
import Synchronization

/// A persistent thread pool that executes one parallel region at a time.
///
/// Between regions, workers spin for some 4,000 pauses (0.1 ms), then yield for about 1.5 ms, and then park: the work of a
/// decoding step between its last product and the next step's first region must not cost a wake-up.
///
/// A region started while another one runs (from a second task, or from inside a region) is executed by its caller alone, so
/// regions may nest. Units are claimed one by one; each unit's result must not depend on the thread that computes it, so results
/// do not depend on scheduling.
@safe public final class ThreadPool: @unchecked Sendable {
    // Sendable: `region` is written only by the holder of `busy` while no worker is active, published by `generation`.

    /// Threads that execute a region, the caller's included.
    public let threads: Int

    private struct Region {
        var units = 0
        var body: (@Sendable (Int) -> Void)?
    }

    private var region = Region()
    private let generation = Atomic<Int>(0)
    private let next = Atomic<Int>(0)
    private let active = Atomic<Int>(0)
    private let busy = Atomic<Bool>(false)
    private let sleeping = Atomic<Int>(0)
    private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
    private let spins = 4000
    private let yields = 2000

    /// A pool of `threads` threads, at least one; workers live as long as the process.
    public init(threads: Int) {
        self.threads = max(1, threads)
        unsafe pthread_mutex_init(mutex, nil)
        unsafe pthread_cond_init(condition, nil)
        for _ in 1..<self.threads {
            var thread = pthread_t()
            let argument = unsafe Unmanaged.passRetained(self)
            unsafe pthread_create(
                &thread, nil,
                { argument in
                    let pool = unsafe Unmanaged<ThreadPool>.fromOpaque(argument!).takeRetainedValue()
                    pool.work()
                    return nil
                }, argument.toOpaque())
            pthread_detach(thread)
        }
    }

    /// Calls `body` for each of 0 ..< `units`, in no particular order, and returns when all are finished.
    public func forEach(_ units: Int, _ body: @Sendable (Int) -> Void) {
        guard units > 1, threads > 1, !busy.exchange(true, ordering: .acquiring) else {
            for unit in 0..<max(units, 0) { body(unit) }
            return
        }
        withoutActuallyEscaping(body) { body in
            region = Region(units: units, body: body)
            next.store(0, ordering: .relaxed)
            active.store(threads - 1, ordering: .relaxed)
            generation.wrappingAdd(1, ordering: .sequentiallyConsistent)
            if sleeping.load(ordering: .sequentiallyConsistent) > 0 {
                unsafe pthread_mutex_lock(mutex)
                unsafe pthread_cond_broadcast(condition)
                unsafe pthread_mutex_unlock(mutex)
            }
            claim(units, body)
            var pauses = 0
            while active.load(ordering: .acquiring) > 0 {
                ct_pause()
                pauses += 1
                // On a shared machine the last worker may be descheduled: yield to it.
                if pauses > spins { sched_yield() }
            }
            region = Region()
        }
        busy.store(false, ordering: .releasing)
    }

    private func claim(_ units: Int, _ body: (Int) -> Void) {
        while true {
            let unit = next.wrappingAdd(1, ordering: .relaxed).oldValue
            guard unit < units else { return }
            body(unit)
        }
    }

    private func work() {
        var seen = 0
        while true {
            var pauses = 0
            while generation.load(ordering: .acquiring) == seen {
                pauses += 1
                if pauses <= spins {
                    ct_pause()
                } else if pauses <= spins + yields {
                    sched_yield()
                } else {
                    park(after: seen)
                    pauses = 0
                }
            }
            seen = generation.load(ordering: .acquiring)
            takePart()
            active.wrappingSubtract(1, ordering: .releasing)
        }
    }

    /// Calls a region's closure; not inlined, so that the worker releases the closure before it reports back.
    @inline(never)
    private func takePart() {
        if let body = region.body { claim(region.units, body) }
    }

    private func park(after seen: Int) {
        unsafe pthread_mutex_lock(mutex)
        sleeping.wrappingAdd(1, ordering: .sequentiallyConsistent)
        while generation.load(ordering: .sequentiallyConsistent) == seen { unsafe pthread_cond_wait(condition, mutex) }
        sleeping.wrappingSubtract(1, ordering: .sequentiallyConsistent)
        unsafe pthread_mutex_unlock(mutex)
    }
}
