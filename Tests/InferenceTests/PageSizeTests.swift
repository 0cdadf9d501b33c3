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

    @Test func `a page of codes holds a power of two from 16 to 128 of the leanest layer's tokens`() {
        // kvHeads, width → bytes a token: two codes of 8 bits and two scales a head and element.
        for (kvHeads, dim, token, slots) in [
            (8, 64, 1056, 16), (4, 64, 528, 16), (2, 64, 264, 32), (1, 64, 132, 32), (1, 8, 20, 64), (1, 4, 12, 128),
            (1, 2, 8, 128),
        ] {
            let layer = KVGeometry(kvHeads: kvHeads, keyDim: dim, valueDim: dim, encoding: .int8)
            #expect(layer.bytesPerToken == token)
            let page = PageSize.bytes(for: [layer])
            #expect(page == (slots * token + 63) / 64 * 64 && PagedLayout(layer, pageBytes: page)?.tokensPerPage == slots)
            // Of four times the heads a quarter of the tokens.
            let wide = KVGeometry(kvHeads: 4 * kvHeads, keyDim: dim, valueDim: dim, encoding: .int8)
            #expect(PagedLayout(wide, pageBytes: PageSize.bytes(for: [wide, layer]))?.tokensPerPage == slots / 4)
        }
        // Keys of 64 codes and a scale, values of 32 bytes, a scale and an offset; latents and their rotary part apart.
        #expect(KVGeometry(kvHeads: 1, keyDim: 64, valueDim: 64, encoding: .k8v4).bytesPerToken == 66 + 36)
        let latent = KVGeometry(kvHeads: 1, keyDim: 80, valueDim: 64, encoding: .k8v4, valuesAreKeys: true)
        #expect(latent.bytesPerToken == 66 + 18)
        #expect(KVGeometry(kvHeads: 2, keyDim: 64, valueDim: 64, encoding: .q4).bytesPerToken == 2 * 2 * (32 + 4))
        // Codes of 32 tokens and four bytes a channel, codes and four bytes a token; of 100 tokens four wait in 256 bytes each.
        let blocks = KVGeometry(kvHeads: 1, keyDim: 64, valueDim: 64, encoding: .kivi4)
        #expect(blocks.bytesPerToken == 32 + 64 * 4 / 32 + 36 && blocks.bytes(tokens: 100) == 96 * 76 + 4 * 256)
        let two = KVGeometry(kvHeads: 1, keyDim: 64, valueDim: 64, encoding: .kivi2)
        #expect(two.bytesPerToken == 16 + 64 * 4 / 32 + 20)
        // A page is a block of 32 tokens, and one of 100 tokens' four pages an open one: of 2432 bytes, nine tokens, eight are used.
        #expect(PageSize.bytes(for: [blocks]) == 32 * 76)
        #expect(PageSize.pages(tokens: 96, of: [blocks], pageBytes: 32 * 76) == 3 + 4)
    }

    @Test func `the pages of a sequence are those that a cache allocates`() throws {
        var config = TinyModel.config(layers: 3, kvHeads: 2, headDim: 16, maxSequence: 512)
        try HybridAttention(window: 40, fullEvery: 3, sinks: 4).configure(&config)
        for tokens in [1, 50, 300] {
            let cache = try PagedKVCache(config: config, encoding: .int8, store: PageStore(bytes: 1 << 20, pageBytes: 1024))
            let pages = PageSize.pages(tokens: tokens, of: config.kvGeometry(.int8), pageBytes: 1024)
            #expect(pages == cache.pages(tokens: tokens, inChunksOf: 1))
        }
        #expect(PageSize.pages(tokens: 1, of: config.kvGeometry(.int8), pageBytes: 64) == nil)
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
