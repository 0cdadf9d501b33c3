import Foundation
import Kernels
import Models
import TestSupport
import Testing

@testable import Inference

@Suite struct DesignCacheTests {
    private let ids = (0..<41).map { Int32(($0 * 17 + 5) % 61) }
    private let cuts = [[41], [1, 40], [7, 9, 2, 23], [Int](repeating: 1, count: 41), [3, 3, 30, 5]]

    @Test(arguments: TinyDesigns.allCases)
    func `cached logits equal uncached ones, however the tokens are cut`(design: TinyDesigns) throws {
        let config = try design.config
        let parameters = TinyModel.parameters(config)
        let model = try ServingModel(config: config, parameters: parameters)
        let full = try DecoderLM(config: config, parameters: parameters)
            .logits(ModelInput(batch: 1, seq: ids.count, tokens: ids)).values
        for page in [512, 1024, 1 << 14] {
            for cuts in cuts {
                var contiguous = ContiguousKVCache(config: config, capacity: 48)
                var paged = try PagedKVCache(config: config, store: PageStore(bytes: 200 * page, pageBytes: page))
                paged.add(7)
                var start = 0
                for count in cuts {
                    let tokens = Array(ids[start..<start + count])
                    start += count
                    let expected = Array(full[(start - 1) * 61..<start * 61])
                    let found = [
                        model.logits(RaggedBatch(sequences: [0], counts: [count], tokens: tokens), cache: &contiguous).array(),
                        model.logits(RaggedBatch(sequences: [7], counts: [count], tokens: tokens), cache: &paged).array(),
                    ]
                    // Another order of summation, and of the products of latent attention: rounding of some 1e-6.
                    for (way, logits) in zip(["contiguous", "paged"], found) {
                        #expect(differences(logits, expected, absolute: 4e-5).isEmpty, "\(way), \(cuts) at \(start)")
                    }
                }
                #expect(paged.bytesHeld.logical == 4 * design.elements(tokens: 41) && paged.store.pool.inconsistency() == nil)
                paged.remove(7)
                #expect(paged.store.pool.freeCount == paged.store.pool.pages)
            }
        }
    }

    @Test(arguments: TinyDesigns.allCases, [CacheEncoding.float32, .bfloat16, .int8, .kivi4] + CacheEncoding.mixed)
    func `every exactness gate holds`(design: TinyDesigns, type: CacheEncoding) throws {
        let scratch = ScratchDirectory()
        let config = try design.config
        // A latent of odd width has no whole bytes of codes.
        if design == .latentBiased, (try? config.kvGeometry(type).check(type)) == nil { return }
        let gates = try ExactnessGates(
            config: config, parameters: TinyModel.parameters(config), encoding: type,
            pageBytes: type.blockTokens > 1 ? 1344 : 1024, tokens: (0..<60).map { Int32($0 * 17 % 61) }, decoded: 20,
            tier: FileTier(directory: scratch.path)
        ).run()
        for gate in gates { #expect(gate.passes, "\(gate.name): \(gate.largestDifference)") }
    }

    @Test func `pages behind a window are freed while the sequence goes on`() throws {
        var config = TinyModel.config(layers: 2, kvHeads: 1, headDim: 16, maxSequence: 512)
        try HybridAttention(window: 16, fullEvery: 0, sinks: 4).configure(&config)
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        // Eight tokens to a page of 128 bytes each.
        var cache = try PagedKVCache(config: config, store: PageStore(bytes: 200 << 10, pageBytes: 1024))
        cache.add(0)
        for start in stride(from: 0, to: 400, by: 50) {
            let step = RaggedBatch(
                sequences: [0], counts: [50], tokens: (start..<start + 50).map { Int32($0 * 17 % 61) })
            _ = model.logits(step, cache: &cache)
            let used = cache.store.pool.pages - cache.store.pool.freeCount
            // The page of the sinks, and three at most for 15 tokens behind and one to come.
            #expect(used <= 2 * 4, "\(used) pages after \(start + 50) tokens")
        }
        #expect(cache.bytesHeld.logical == 20 * 2 * 128)
        #expect(cache.store.pool.inconsistency() == nil)
        func held(chunk: Int) throws -> Int {
            try CacheCapacity.measure(
                config, encoding: .float32, bytes: 64 << 10, pageBytes: 1024, context: 400, chunk: chunk
            ).sequences
        }
        // The page of the sinks and two for the window in each of two layers, of 64 pages. The last chunk of 40 tokens takes five
        // pages a layer beside the three: 16 pages, which come free when 9 are in, but not when 10 are.
        #expect(try held(chunk: 40) == 9)
        // Eight tokens at a time come in with one page more than are kept.
        #expect(try held(chunk: 8) == 64 / 6)
        // All at once they take 50 pages in each layer, which there are not.
        #expect(try held(chunk: 400) == 0)
        #expect(throws: InferenceError.tooManyTokens(600, limit: 512)) {
            try CacheCapacity.measure(config, encoding: .float32, bytes: 64 << 10, pageBytes: 1024, context: 600)
        }
    }

    @Test func `a batch-invariant engine gives windowed models' tokens the same in any company`() async throws {
        var config = TinyModel.config(layers: 2, headDim: 16, maxSequence: 512)
        try HybridAttention(window: 20, fullEvery: 0, sinks: 3).configure(&config)
        let model = try ServingModel(config: config, parameters: TinyModel.parameters(config))
        func run(_ cuts: [Int]) throws -> [Float] {
            var cache = try PagedKVCache(config: config, store: PageStore(bytes: 400 << 10, pageBytes: 1024))
            cache.isBatchInvariant = true
            cache.add(0)
            cache.setPromptLength(0, 300)
            var (start, last) = (0, [Float]())
            for count in cuts {
                let step = RaggedBatch(
                    sequences: [0], counts: [count], tokens: (start..<start + count).map { Int32($0 * 17 % 61) })
                last = model.logits(step, cache: &cache).array()
                start += count
            }
            return last
        }
        let whole = try run([300, 1, 1])
        #expect(try run([100, 150, 50, 1, 1]) == whole)
        #expect(try run([13, 287, 1, 1]) == whole)
    }
}
