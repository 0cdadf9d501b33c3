import NIOPosix

/// Work that may take long without waiting for anything: reading and tokenizing large bodies.
enum LongWork {
    /// Bytes that are worked off in about a millisecond: too little to move elsewhere.
    private static let small = 32 << 10

    /// Runs `work` over so many `bytes`: where it takes long on threads of its own, as on the tasks' threads, of which there are
    /// as few as processors, it would keep every other request waiting.
    static func run<Value: Sendable>(bytes: Int, _ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        bytes <= small ? try work() : try await NIOThreadPool.singleton.runIfActive(work)
    }
}
