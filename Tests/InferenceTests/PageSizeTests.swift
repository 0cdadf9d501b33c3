import Kernels
import Models
import TestSupport
import Testing

@testable import Inference

@Suite struct PageSizeTests {
    private func layer(_ bytesPerToken: Int, source: Int? = nil) -> KVGeometry {
        KVGeometry(kvHeads: 1, keyDim: bytesPerToken / 4, valueDim: bytesPerToken / 4, encoding: .float16, source: source)
    }

    @Test func `a page holds at most 32 of the leanest layer's tokens, and one of the widest`() {
        // In KiB: 32 tokens of 256 bytes; of 512 bytes; beyond 16 KiB nothing is gained; below 1 KiB too little.
        for (layers, kibibytes) in [
            ([256], 8), ([512], 16), ([2048], 16), ([20 << 10], 32), ([8], 1), ([36], 1), ([64], 2), ([2048, 64], 2),
            ([5000, 64], 8),
        ] {
            #expect(PageSize.bytes(for: layers.map { layer($0) }) == kibibytes << 10, "\(layers)")
        }
        // A layer that reads another's has no pages.
        #expect(PageSize.bytes(for: [layer(256), layer(8, source: 0)]) == 8 << 10)
    }

    @Test(arguments: [8, 16, 32, 64]) func `multi-query attention holds seven times the sequences and more in default pages`(
        headDim: Int
    ) throws {
        let configs = [8, 1].map { TinyModel.config(layers: 4, heads: 8, kvHeads: $0, headDim: headDim, maxSequence: 128) }
        let page = PageSize.bytes(for: configs, .float16)
        let held = try configs.map {
            try CacheCapacity.measure($0, encoding: .float16, bytes: 64 << 20, pageBytes: page, context: 128).sequences
        }
        #expect(held[1] >= 7 * held[0], "\(held) in pages of \(page)")
    }

    @Test func `an engine chooses pages for all its models`() async throws {
        // Heads of 16 take 64 bytes a token and layer in fp16: 32 tokens of one KV head make 2 KiB, of four 8 KiB.
        for (kvHeads, page) in [([4, 2, 1], 2 << 10), ([4], 8 << 10)] {
            let engine = try EngineFixture(kvHeads: kvHeads) {
                $0.pageBytes = nil
                $0.encoding = .float16
            }.engine
            #expect(engine.pageBytes == page)
            #expect(await engine.poolMap().pageBytes == page)
        }
    }
}
