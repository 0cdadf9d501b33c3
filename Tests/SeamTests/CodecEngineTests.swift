import Inference
import Kernels
import Models
import Testing

@Suite struct CodecEngineTests {
    @Test(arguments: [KVEncoding.int8, .k8v4]) func `tokens do not depend on chunks, sharing or preemption`(
        encoding: KVEncoding
    ) async throws {
        let expected = try await outputs { $0.encoding = encoding }
        #expect(try await expected == outputs { ($0.encoding, $0.limits.tokensPerStep) = (encoding, 7) })
        #expect(try await expected == outputs { ($0.encoding, $0.prefixSharing) = (encoding, false) })
        for way in EngineOptions.Preemption.allCases {
            let tight = try await outputs {
                ($0.encoding, $0.cacheBytes, $0.tier, $0.preemption) = (encoding, 24 * 1024, ToyTier(), way)
            }
            #expect(tight == expected, "\(way)")
        }
    }

    @Test func `prompts that begin alike share quantised pages`() async throws {
        let prompts = [Int](repeating: 70, count: 4)
        let shared = try await outputs(prompts: prompts) { $0.encoding = .k8v4 }
        #expect(try await shared == outputs(prompts: prompts) { ($0.encoding, $0.prefixSharing) = (.k8v4, false) })
    }

    @Test func `evicted slots of codes leave tokens that do not depend on chunks`() async throws {
        let expected = try await outputs { ($0.encoding, $0.retention) = (.k8v4, ToyRetention()) }
        #expect(
            try await expected
                == outputs {
                    ($0.encoding, $0.retention, $0.limits.tokensPerStep) = (.k8v4, ToyRetention(), 7)
                })
    }
}
