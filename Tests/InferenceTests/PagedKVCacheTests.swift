import Glibc
import Kernels
import Models
import Random
import TestSupport
import Testing

@testable import Inference

@Suite struct PagedKVCacheTests {
    private func ids(_ count: Int) -> [Int32] { (0..<count).map { Int32(($0 * 17 + 5) % 61) } }

    /// The serving form under test, and the training form whose passes over whole sequences it is compared with.
    private func models(_ kvHeads: Int, headDim: Int = 12) throws -> (ServingModel, DecoderLM) {
        let config = TinyModel.config(kvHeads: kvHeads, headDim: headDim)
        let parameters = TinyModel.parameters(config)
        return (
            try ServingModel(config: config, parameters: parameters), try DecoderLM(config: config, parameters: parameters)
        )
    }

    private func cache(_ model: ServingModel, page: Int = 1024, pages: Int = 200, type: CacheEncoding = .float32) throws
        -> PagedKVCache
    {
        try PagedKVCache(
            config: model.config, encoding: type, store: PageStore(bytes: page * pages, pageBytes: page))
    }

    @Test(arguments: [4, 2, 1], [384, 1024, 1 << 14]) func `paged logits equal uncached ones, however the tokens are cut`(
        kvHeads: Int, page: Int
    ) throws {
        let (model, reference) = try models(kvHeads)
        let ids = ids(41)
        let full = reference.logits(ModelInput(batch: 1, seq: ids.count, tokens: ids)).values
        for cuts in [[41], [1, 40], [7, 9, 2, 23], [Int](repeating: 1, count: 41), [3, 3, 30, 5]] {
            var cache = try cache(model, page: page)
            cache.add(7)
            var start = 0
            for count in cuts {
                let step = RaggedBatch(sequences: [7], counts: [count], tokens: Array(ids[start..<start + count]))
                let logits = model.logits(step, cache: &cache).array()
                start += count
                // Another order of summation over at most 41 keys and 48 inputs: rounding of some 1e-6 of logits near 1.
                #expect(
                    differences(logits, Array(full[(start - 1) * 61..<start * 61]), absolute: 2e-5).isEmpty, "\(cuts) at \(start)"
                )
            }
            #expect(cache.length(of: 7) == 41 && cache.store.pool.inconsistency() == nil)
            cache.remove(7)
            #expect(cache.store.pool.freeCount == cache.store.pool.pages)
        }
    }

    @Test func `greedy tokens through pages are those of the contiguous cache`() throws {
        for kvHeads in [4, 2, 1] {
            let (model, _) = try models(kvHeads, headDim: 16)
            var random = SeededGenerator(seed: 1)
            let expected = Generator(model: model).continuation(of: ids(9), count: 40, generator: &random)
            var cache = try cache(model)
            cache.add(0)
            var found: [Int32] = []
            var next = ids(9)
            while found.count < 40 {
                let step = RaggedBatch(sequences: [0], counts: [next.count], tokens: next)
                let id = Sampler.greedy(model.logits(step, cache: &cache).array())
                found.append(id)
                next = [id]
            }
            #expect(found == expected)
        }
    }

    @Test(arguments: [CacheEncoding.bfloat16, .float16]) func `keys and values of 16 bits change logits by their rounding alone`(
        type: CacheEncoding
    ) throws {
        let (model, reference) = try models(2, headDim: 16)
        let ids = ids(30)
        let full = reference.logits(ModelInput(batch: 1, seq: 30, tokens: ids)).values.suffix(61)
        var cache = try cache(model, type: type)
        cache.add(0)
        let found = model.logits(RaggedBatch(sequences: [0], counts: [30], tokens: ids), cache: &cache).array()
        // Keys of magnitude 2 rounded to 2⁻⁹ (bf16) or 2⁻¹² (fp16) of themselves, scores and values alike, over two layers.
        #expect(differences(found, Array(full), absolute: type == .bfloat16 ? 0.1 : 0.012).isEmpty)
        #expect(!differences(found, Array(full), absolute: 1e-6).isEmpty)
        #expect(cache.bytesHeld.logical == 30 * model.config.kvBytesPerToken(type))
    }

    @Test func `a fork writes into copies, and both go on as if alone`() throws {
        let (model, reference) = try models(2)
        var cache = try cache(model)
        cache.add(0)
        let prompt = ids(13)
        _ = model.logits(RaggedBatch(sequences: [0], counts: [13], tokens: prompt), cache: &cache)
        let before = cache.store.pool.freeCount
        cache.fork(0, as: 1)
        #expect(cache.store.pool.freeCount == before)
        let tails: [[Int32]] = [[1, 2, 3, 4, 5], [50, 40, 30, 20, 10]]
        for position in 0..<5 {
            let step = RaggedBatch(sequences: [0, 1], counts: [1, 1], tokens: tails.map { $0[position] })
            let logits = model.logits(step, cache: &cache).array()
            for row in 0..<2 {
                let all = prompt + tails[row].prefix(position + 1)
                let alone = reference.logits(ModelInput(batch: 1, seq: all.count, tokens: all)).values.suffix(61)
                #expect(differences(Array(logits[row * 61..<(row + 1) * 61]), Array(alone), absolute: 2e-5).isEmpty)
            }
        }
        // Thirteen tokens of 192 bytes: five to a page, the third one of each layer was shared and partly filled.
        let shared = Set(cache.table(of: 0).allPages).intersection(cache.table(of: 1).allPages)
        #expect(shared.count == 4)
        cache.remove(0)
        cache.remove(1)
        #expect(cache.store.pool.freeCount == cache.store.pool.pages && cache.store.pool.inconsistency() == nil)
    }

    @Test func `two architectures share one pool, and the leaner one holds more`() throws {
        let store = try PageStore(bytes: 100 * 1024, pageBytes: 1024)
        store.pool = PagePool(pages: 100, guarantees: [0, 0])
        let models = [try models(4, headDim: 16), try models(1, headDim: 16)]
        var caches = try models.enumerated().map { try PagedKVCache(config: $1.0.config, store: store, owner: $0) }
        for (index, (model, reference)) in models.enumerated() {
            caches[index].add(0)
            let found = model.logits(RaggedBatch(sequences: [0], counts: [20], tokens: ids(20)), cache: &caches[index]).array()
            let alone = reference.logits(ModelInput(batch: 1, seq: 20, tokens: ids(20))).values.suffix(61)
            #expect(differences(found, Array(alone), absolute: 2e-5).isEmpty)
        }
        // 512 and 128 bytes a token and layer: 2 and 8 tokens a page.
        #expect(store.pool.ledger.used[0] == 20 && store.pool.ledger.used[1] == 6)
        #expect(caches[0].bytesHeld.logical == 20 * 1024 && caches[1].bytesHeld.allocated == 6 * 1024)
    }

    @Test func `a step without pages changes nothing, and a reset frees them`() throws {
        let (model, reference) = try models(4, headDim: 16)
        var cache = try cache(model, page: 1024, pages: 12)
        cache.add(0)
        let reserved = cache.reserve(RaggedBatch(sequences: [0], counts: [13], tokens: ids(13)))
        #expect(!reserved)
        #expect(cache.store.pool.freeCount == 12 && cache.pagesNeeded(0, adding: 13) == 14)
        _ = model.logits(RaggedBatch(sequences: [0], counts: [12], tokens: ids(12)), cache: &cache)
        cache.reset(0)
        #expect(cache.store.pool.freeCount == 12 && cache.length(of: 0) == 0)
        let all = ids(5) + [9, 8, 7]
        let found = model.logits(RaggedBatch(sequences: [0], counts: [8], tokens: all), cache: &cache).array()
        let alone = reference.logits(ModelInput(batch: 1, seq: 8, tokens: all)).values.suffix(61)
        #expect(differences(found, Array(alone), absolute: 2e-5).isEmpty)
    }

    @Test func `what cannot be reserved is said`() throws {
        let config = TinyModel.config()
        #expect(throws: InferenceError.pageSize(100)) { try PageStore(bytes: 1 << 20, pageBytes: 100) }
        #expect(throws: InferenceError.memory(bytes: 64, pageBytes: 128)) { try PageStore(bytes: 64, pageBytes: 128) }
        #expect(throws: InferenceError.guarantees([9, 9], pages: 16)) {
            try PageStore(bytes: 1024, pageBytes: 64, guarantees: [9, 9])
        }
        #expect(throws: InferenceError.pageTooSmall(layer: 0, tokens: 1, bytes: 192, pageBytes: 128)) {
            try PagedKVCache(config: config, store: PageStore(bytes: 1 << 16, pageBytes: 128))
        }
        #expect(
            InferenceError.pageTooSmall(layer: 0, tokens: 1, bytes: 192, pageBytes: 128).description
                == "layer 0 caches 192 bytes a token, a page has 128; use a larger --page")
    }

    @Test(arguments: [nil, 6]) func `a cached token's attention mass is that of the queries that see it`(window: Int?) throws {
        var config = TinyModel.config(kvHeads: 2, headDim: 12)
        if let window {
            try HybridAttention(window: window, fullEvery: 0, sinks: 1).configure(&config)
        }
        let store = try PageStore(bytes: 1 << 20, pageBytes: 1024)
        var cache = try PagedKVCache(config: config, store: store)
        cache.add(0)
        cache.add(1)
        let (heads, d) = (config.heads[0], 12)
        // Keys [tokens, kvHeads, d] of each layer and sequence.
        var keys = [[[Float]]](repeating: [[], []], count: config.layers)
        for (pass, counts) in [[9, 1], [1, 20], [3, 1]].enumerated() {
            let step = RaggedBatch(sequences: [0, 1], counts: counts, tokens: ids(counts[0] + counts[1]))
            for layer in 0..<config.layers {
                var queries = CachedQueries(rows: Storage(count: 0), heads: heads, geometry: cache.geometry[layer])
                var generator = SeededGenerator(seed: UInt64(pass * 10 + layer))
                let rows = (0..<step.tokens.count * queries.rowWidth).map { _ in Float(generator.uniform() * 4 - 2) }
                queries.rows = Storage(copying: rows)
                let sums = cache.attend(layer: layer, queries, step).logSumExp
                let parts = (0..<2).map {
                    PagedSequence(pages: cache.table(of: $0).pages[layer], held: cache.length(of: $0), count: counts[$0])
                }
                let found = parts.map { part in
                    SlotSums([[Float]](repeating: [Float](repeating: 0, count: part.held + part.count), count: 2))
                }
                cache.kernel(layer, queries).addMass(
                    qkv: queries.rows, memory: store.memory, batch: PagedBatch(parts, layout: cache.layouts[layer]),
                    logSumExp: sums, rows: counts.map { 0..<$0 }, into: found)
                var first = 0
                for sequence in 0..<2 {
                    let held = cache.length(of: sequence)
                    let tokens = held + counts[sequence]
                    for row in first..<first + counts[sequence] {
                        let start = row * queries.rowWidth + heads * d
                        keys[layer][sequence] += rows[start..<start + 2 * d]
                    }
                    var mass = [Double](repeating: 0, count: 2 * tokens)
                    for (row, position) in (held..<tokens).enumerated() {
                        let seen = (0...position).filter { token in window.map { token < 1 || token > position - $0 } ?? true }
                        for head in 0..<heads {
                            let (kvHead, start) = (head / (heads / 2), (first + row) * queries.rowWidth + head * d)
                            let weights = seen.map { token in
                                let key = keys[layer][sequence][(token * 2 + kvHead) * d..<(token * 2 + kvHead + 1) * d]
                                let score = zip(rows[start..<start + d], key).reduce(0.0) { $0 + Double($1.0) * Double($1.1) }
                                return exp(score * Double(queries.scale))
                            }
                            let sum = weights.reduce(0, +)
                            for (token, weight) in zip(seen, weights) { mass[kvHead * tokens + token] += weight / sum }
                        }
                    }
                    // Up to forty weights, rounded as Float32.
                    #expect(differences(Array(found[sequence].heads.joined()), mass.map { Float($0) }, absolute: 1e-4).isEmpty)
                    first += counts[sequence]
                }
            }
            cache.commit(step)
        }
    }
}
