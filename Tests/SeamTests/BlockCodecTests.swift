import Foundation
import Inference
import Kernels
import Models
import Testing

/// Encodings of blocks of tokens in the paged cache, against their definition.
@Suite struct BlockCodecTests {
    static let encodings = [KVEncoding.kivi4, .kivi2, .int4].flatMap { encoding in
        [0, 32, 96].compactMap { try? encoding.with(residual: $0) }
    }

    /// One head's keys or values as they came, and as rows see them.
    private struct Vectors {
        let codec: any KVCodec
        /// Widths of the vectors that an element is encoded as.
        let widths: [Int]
        let isRotated: Bool
        var all: [[Float]] = []
        /// The first of them as they are decoded, and as they are rounded to BFloat16.
        private var decoded: [[Float]] = []
        private var rounded: [[Float]] = []

        init(codec: any KVCodec, widths: [Int], isRotated: Bool) {
            (self.codec, self.widths, self.isRotated) = (codec, widths, isRotated)
        }

        /// The vectors that a row behind `tokens` of them sees: codes of the first `sealed`, the others rounded to BFloat16.
        mutating func seen(sealed: Int, tokens: Int) -> [[Float]] {
            let size = codec.blockTokens
            while rounded.count < tokens { rounded.append(rotated(Self.rounded(rotated(all[rounded.count])))) }
            while decoded.count < sealed {
                let vectors = all[decoded.count..<decoded.count + size].map { Self.rounded(rotated($0)) }
                var (block, first) = ([[Float]](repeating: [], count: size), 0)
                for width in widths {
                    let part = codec.rounded(vectors.flatMap { $0[first..<first + width] }[...])
                    for token in 0..<size { block[token] += part[token * width..<(token + 1) * width] }
                    first += width
                }
                decoded += block.map { rotated($0) }
            }
            return Array(decoded[..<sealed] + rounded[sealed..<tokens])
        }

        /// The vector under the Walsh matrix of the greatest power of two that divides a width, its rows' signs those of
        /// (−1)^|i ∧ j|; the vector itself where the encoding rotates nothing.
        private func rotated(_ vector: [Float]) -> [Float] {
            guard isRotated else { return vector }
            var (result, first) = ([Float](), 0)
            for width in widths {
                let size = width & -width
                for index in 0..<width {
                    let start = first + index / size * size
                    let sum = (0..<size).reduce(0.0) { sum, other in
                        let isNegative = (index % size & other).nonzeroBitCount % 2 == 1
                        return sum + Double(vector[start + other]) * (isNegative ? -1 : 1)
                    }
                    result.append(Float(sum / Double(size).squareRoot()))
                }
                first += width
            }
            return result
        }

        private static func rounded(_ vector: [Float]) -> [Float] {
            vector.map { Float(bitPattern: ($0.bitPattern &+ 0x7FFF &+ ($0.bitPattern >> 16 & 1)) & 0xFFFF_0000) }
        }
    }

    /// Attention of one query over `keys` and `values` at `visible` positions, in Float64.
    private func attend(_ query: [Float], _ keys: [[Float]], _ values: [[Float]], _ visible: [Int]) -> [Double] {
        let scale = 1 / Double(query.count).squareRoot()
        let logits = visible.map { position in
            zip(query, keys[position]).reduce(0) { $0 + Double($1.0) * Double($1.1) } * scale
        }
        let top = logits.max() ?? 0
        let weights = logits.map { exp($0 - top) }
        let sum = weights.reduce(0, +)
        var output = [Double](repeating: 0, count: values[0].count)
        for (weight, position) in zip(weights, visible) {
            for (index, x) in values[position].enumerated() { output[index] += weight / sum * Double(x) }
        }
        return output
    }

    /// The largest difference of the first layer's attention from the definition's for random rows; counts the pages on the way.
    private func difference(_ config: ModelConfig, _ encoding: KVEncoding, pageBytes: Int, steps: [Int]) throws -> Double {
        let total = steps.reduce(0, +)
        var cache = try PagedKVCache(
            config: config, encoding: CacheEncoding(encoding), pageBytes: pageBytes, tokens: total, chunk: total)
        cache.add(0)
        let geometry = cache.geometry[0]
        let (heads, group) = (config.heads[0], config.heads[0] / geometry.kvHeads)
        let widths = geometry.valuesAreKeys ? [geometry.valueDim, geometry.keyDim - geometry.valueDim] : [geometry.keyDim]
        let isRotated = encoding.isRotated
        var keys = [Vectors](
            repeating: Vectors(codec: encoding.keys, widths: widths, isRotated: isRotated), count: geometry.kvHeads)
        var values = [Vectors](
            repeating: Vectors(codec: encoding.values, widths: [geometry.valueDim], isRotated: isRotated),
            count: geometry.kvHeads)
        var random = RandomValues(seed: 7)
        var (largest, tokens) = (0.0, 0)
        for count in steps {
            var (rows, queries) = ([Float](), [[Float]]())
            for _ in 0..<count {
                for _ in 0..<heads { queries.append(random.values(geometry.keyDim)) }
                rows += queries.suffix(heads).joined()
                for head in keys.indices {
                    keys[head].all.append(random.values(geometry.keyDim))
                    rows += keys[head].all[tokens + queries.count / heads - 1]
                }
                guard !geometry.valuesAreKeys else { continue }
                for head in values.indices {
                    values[head].all.append(random.values(geometry.valueDim))
                    rows += values[head].all[tokens + queries.count / heads - 1]
                }
            }
            let step = RaggedBatch(sequences: [0], counts: [count], tokens: [Int32](repeating: 0, count: count))
            let isReserved = cache.reserve(step)
            #expect(isReserved)
            for layer in 0..<config.layers {
                let found = cache.attend(
                    layer: layer, CachedQueries(rows: Storage(copying: rows), heads: heads, geometry: geometry), step)
                guard layer == 0 else { continue }
                for (index, query) in queries.enumerated() {
                    let (row, head) = (index / heads, index % heads / group)
                    let (sealed, seen) = (encoding.sealedTokens(of: tokens + row), tokens + row + 1)
                    let keys = keys[head].seen(sealed: sealed, tokens: seen)
                    let stored =
                        geometry.valuesAreKeys
                        ? keys.map { Array($0[..<geometry.valueDim]) } : values[head].seen(sealed: sealed, tokens: seen)
                    let visible = (0..<seen).filter { position in
                        geometry.window.map { position < geometry.sinks || position >= seen - $0 } ?? true
                    }
                    let expected = attend(query, keys, stored, visible)
                    for (x, y) in zip(found.output.array(index * geometry.valueDim..<(index + 1) * geometry.valueDim), expected) {
                        largest = max(largest, abs(Double(x) - y))
                    }
                }
            }
            cache.commit(step)
            tokens += count
            let (used, table) = (cache.store.pool.pages - cache.store.pool.freeCount, cache.table(of: 0))
            #expect(used == table.allPages.count)
            for layer in table.open.indices {
                // A token of an open page takes two bytes an element.
                let elements = geometry.kvHeads * (geometry.keyDim + (geometry.valuesAreKeys ? 0 : geometry.valueDim))
                var size = 32
                while size * 2 * elements > pageBytes { size /= 2 }
                let open = tokens - encoding.sealedTokens(of: tokens)
                #expect(table.open[layer].count == (open + size - 1) / size, "\(open) open tokens of \(tokens)")
            }
        }
        cache.remove(0)
        #expect(cache.store.pool.freeCount == cache.store.pool.pages)
        return largest
    }

    /// Chunks that end within blocks, at their ends and behind several of them; single tokens over a border.
    private let steps = [5, 27, 1, 90, 3, 2] + [Int](repeating: 1, count: 35) + [70]

    @Test(arguments: encodings, TinyDesign.allCases)
    func `rows see codes of the whole blocks before them, and the newest tokens unrounded`(
        encoding: KVEncoding, design: TinyDesign
    ) throws {
        // A block a page, and several.
        for page in [1600, 6400] {
            let largest = try difference(try design.config, encoding, pageBytes: page, steps: steps)
            #expect(largest < 2e-5, "\(page): \(largest)")
        }
    }

    @Test(arguments: encodings) func `a window's rows see its newest tokens and its sinks`(encoding: KVEncoding) throws {
        for (window, sinks) in [(20, 0), (50, 3), (130, 40)] {
            var config = try TinyDesign.grouped.config
            try HybridAttention(window: window, fullEvery: 0, sinks: sinks).configure(&config)
            for page in [1600, 6400] {
                let largest = try difference(config, encoding, pageBytes: page, steps: steps)
                #expect(largest < 2e-5, "\(window), \(sinks), \(page): \(largest)")
            }
        }
    }

    @Test(arguments: [KVEncoding.kivi4, .kivi2, .int4]) func `a residual is whole blocks of an encoding that has them`(
        encoding: KVEncoding
    ) throws {
        func refusal(_ encoding: KVEncoding, _ residual: Int) -> String {
            do { return "\(try encoding.with(residual: residual).residual)" } catch { return "\(error)" }
        }
        for residual in [48, -32] {
            #expect(
                refusal(encoding, residual)
                    == "a residual of \(residual) tokens does not fit \(encoding.name), which encodes 32 together; use a multiple"
            )
        }
        #expect(refusal(.int8, 32) == "a residual means nothing for int8, which encodes each token as it comes; leave it out")
        let left = try encoding.with(residual: 64)
        #expect([95, 96, 127, 128].map { left.sealedTokens(of: $0) } == [0, 32, 32, 64])
        #expect(try left != encoding && encoding.with(residual: 0) == encoding)
    }
}
