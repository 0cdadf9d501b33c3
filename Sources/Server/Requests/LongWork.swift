import NIOPosix

/// Work that may take long without waiting for anything: reading and tokenizing large bodies, rendering templates.
enum LongWork {
    /// Bytes that are worked off in about a millisecond: too little to move elsewhere.
    private static let small = 32 << 10

    /// Runs `work` over `bytes` bytes, on a thread pool if these are many: Swift's tasks have one thread a processor, and long work on
    /// it would block every other request.
    static func run<Value: Sendable>(bytes: Int, _ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        bytes <= small ? try work() : try await NIOThreadPool.singleton.runIfActive(work)
    }

    /// Runs `work` that renders a model's own template: an untrusted program, which may take as long as its limits allow however small
    /// the request is. Its thread pool is separate, so that it blocks no other request's large body either.
    static func render<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await templates.runIfActive(work)
    }

    private static let templates: NIOThreadPool = {
        let pool = NIOThreadPool(numberOfThreads: 2)
        pool.start()
        return pool
    }()
}
