import Inference
import Kernels
import Models
import TestSupport
import Testing
import Text
import Threads

/// Pages kept in arrays: a tier in one file.
final class ToyTier: KVTier {
    /// Sequences stored so far.
    let stores = Lock(0)

    func store(_ pages: some Collection<[UInt8]>, pageBytes: Int) throws(InferenceError) -> any TieredPages {
        stores.withLock { $0 += 1 }
        return Stored(pages: Array(pages))
    }

    private final class Stored: TieredPages {
        let pages: [[UInt8]]
        init(pages: [[UInt8]]) { self.pages = pages }
        func page(_ index: Int) throws(InferenceError) -> [UInt8] { pages[index] }
    }
}

@Suite struct ToyTierTests {
    @Test func `preempted sequences go on from a tier as if they had never left`() async throws {
        let tier = ToyTier()
        let tight = try await outputs { ($0.cacheBytes, $0.tier, $0.preemption) = (60 * 1024, tier, .swap) }
        #expect(try await tight == outputs { _ in })
        #expect(tier.stores.withLock { $0 } > 0)
    }
}
