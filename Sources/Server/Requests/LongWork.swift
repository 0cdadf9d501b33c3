import NIOPosix

/// Work that may take long without waiting for anything: reading and tokenizing large bodies, rendering templates.
enum LongWork {
    /// Bytes that are worked off in about a millisecond: too little to move elsewhere.
    private static let small = 32 << 10

    /// Runs `work` over so many `bytes`, on threads of its own where it takes long: the tasks' threads are as few as processors, and
    /// it would keep every other request waiting.
    static func run<Value: Sendable>(bytes: Int, _ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        bytes <= small ? try work() : try await NIOThreadPool.singleton.runIfActive(work)
    }

    /// Runs `work` that a model's own template is part of: a stranger's program, which takes as long as its limits allow however
    /// small the request is. The threads are its own, so that it keeps no other request's large body waiting either.
    static func render<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await templates.runIfActive(work)
    }

    private static let templates: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
        return pool
    }()
}
