import Inference
import Kernels
import Models
import TestSupport
import Testing

@Suite struct CodecEngineTests {
    /// Encodings, the second of blocks with a residual.
    static let encodings: [CacheEncoding] = {
        let left = (try? CacheEncoding.kivi2.with(residual: 32)) ?? .kivi2
        return [.int8, .k8v4, .kivi4, .kivi2, left, .int4] + CacheEncoding.mixed
    }()

    @Test(arguments: encodings) func `tokens do not depend on chunks, sharing or preemption`(
        encoding: CacheEncoding
    ) async throws {
        /// Pages of a block where tokens are encoded together.
        func page(_ options: inout EngineOptions) {
            options.encoding = encoding
            if encoding.blockTokens > 1 { (options.pageBytes, options.cacheBytes) = (1600, 640 * 1024) }
        }
        let expected = try await outputs(page)
        #expect(
            try await expected
                == outputs {
                    page(&$0)
                    $0.limits.tokensPerStep = 7
                })
        #expect(
            try await expected
                == outputs {
                    page(&$0)
                    $0.prefixSharing = false
                })
        for way in EngineOptions.Preemption.allCases {
            let tight = try await outputs {
                page(&$0)
                let bytes = encoding.blockTokens > 1 ? (28 + encoding.residual / 8) * 1600 : 24 * 1024
                ($0.cacheBytes, $0.tier, $0.preemption) = (bytes, ToyTier(), way)
            }
            #expect(tight == expected, "\(way)")
        }
    }

    @Test(arguments: [CacheEncoding.k8v4, .kivi4]) func `prompts that begin alike share quantised pages`(
        encoding: CacheEncoding
    ) async throws {
        let prompts = [Int](repeating: 70, count: 4)
        func found(isShared: Bool) async throws -> [[Int32]] {
            try await outputs(prompts: prompts) {
                ($0.encoding, $0.pageBytes, $0.prefixSharing) = (encoding, 1408, isShared)
            }
        }
        #expect(try await found(isShared: true) == found(isShared: false))
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
