import Kernels
import Models
import Testing

import Inference

/// Eight-bit codes with one scale a vector: an encoding in one file.
struct ToyCodec: KVCodec {
    let name = "toy8"
    let kernel: Int32? = nil

    func bytes(dim: Int) -> Int { dim + 4 }

    func encode(_ vector: Span<Float>, into bytes: inout MutableRawSpan) {
        var largest: Float = 0
        for index in vector.indices { largest = max(largest, abs(vector[index])) }
        // A power of two, so that decoded values encode to the same codes.
        let scale = largest == 0 ? 1 : Float(sign: .plus, exponent: largest.exponent - 6, significand: 1)
        bytes.storeBytes(of: scale.bitPattern, toByteOffset: 0, as: UInt32.self)
        for index in vector.indices {
            let code = (vector[index] / scale).rounded(.toNearestOrEven)
            bytes.storeBytes(of: Int8(max(-127, min(127, code))), toByteOffset: 4 + index, as: Int8.self)
        }
    }

    func decode(_ bytes: RawSpan, into vector: inout MutableSpan<Float>) {
        let scale = Float(bitPattern: bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt32.self))
        for index in vector.indices {
            vector[index] = Float(bytes.unsafeLoadUnaligned(fromByteOffset: 4 + index, as: Int8.self)) * scale
        }
    }
}

extension KVEncoding {
    static let toy = KVEncoding(ToyCodec())
}

extension KVCodec {
    private func encode(_ vector: Span<Float>, into bytes: inout [UInt8]) {
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        encode(vector, into: &raw)
    }

    private func decode(_ bytes: RawSpan, into vector: inout [Float]) {
        var span = vector.mutableSpan
        decode(bytes, into: &span)
    }

    /// `values` as the codec gives them back, taken as vectors, or blocks of as many tokens as are encoded together, of `widths` in turn.
    func decoded(_ values: [Float], widths: [Int]) -> [Float] {
        var (result, turn) = ([Float](), 0)
        while result.count < values.count {
            let width = widths[turn % widths.count]
            var bytes = [UInt8](repeating: 0, count: bytes(dim: width))
            var vector = [Float](repeating: 0, count: blockTokens * width)
            let source = Array(values[result.count..<result.count + blockTokens * width])
            encode(source.span, into: &bytes)
            decode(bytes.span.bytes, into: &vector)
            result += vector
            turn += 1
        }
        return result
    }
}

@Suite struct ToyEncodingTests {
    /// What the paged cache gives for random queries, keys and values, a prompt in two chunks and then token by token.
    private func outputs(_ config: ModelConfig, _ encoding: KVEncoding, decodedBy codec: KVEncoding? = nil) throws -> [[Float]] {
        let (steps, length) = ([90, 210, 1, 1, 4, 1], 307)
        var cache = try PagedKVCache(
            config: config, encoding: CacheEncoding(encoding), pageBytes: 8192, tokens: length, chunk: length)
        cache.add(0)
        let geometry = cache.geometry[0]
        let heads = config.heads[0]
        var random = RandomValues(seed: 5)
        var found: [[Float]] = []
        for count in steps {
            var rows: [Float] = []
            for _ in 0..<count {
                rows += random.values(heads * geometry.keyDim)
                let keys = random.values(geometry.kvHeads * geometry.keyDim)
                let values = geometry.valuesAreKeys ? [] : random.values(geometry.kvHeads * geometry.valueDim)
                // A latent and its rotary part are encoded by themselves.
                let rotary = geometry.keyDim - geometry.valueDim
                let widths = geometry.valuesAreKeys ? [geometry.valueDim, rotary] : [geometry.keyDim]
                rows += codec?.keys.decoded(keys, widths: widths) ?? keys
                rows += codec?.values.decoded(values, widths: [geometry.valueDim]) ?? values
            }
            let step = RaggedBatch(sequences: [0], counts: [count], tokens: [Int32](repeating: 0, count: count))
            let isReserved = cache.reserve(step)
            #expect(isReserved)
            let queries = CachedQueries(rows: Storage(copying: rows), heads: heads, geometry: geometry)
            found.append(cache.attend(layer: 0, queries, step).output.array())
            cache.commit(step)
        }
        return found
    }

    @Test(arguments: TinyDesign.allCases) func `attention over codes is attention over decoded values, bit for bit`(
        design: TinyDesign
    ) throws {
        let config = try design.config
        let found = try outputs(config, .toy)
        let isSame = try found == outputs(config, .float32, decodedBy: .toy)
        #expect(isSame)
        // Not by chance: values that are stored exactly give others.
        let isExact = try found == outputs(config, .float32)
        #expect(!isExact)
    }

    @Test(arguments: KVEncoding.all + [.toy]) func `decoded values encode to the same bytes`(
        encoding: KVEncoding
    ) {
        var random = RandomValues(seed: 9)
        let values = random.values(4096) + [Float](repeating: 0, count: 2048)
        // A decoded block of centred keys has another mean.
        for codec in [encoding.keys, encoding.values] where codec.name != "centred4" {
            let once = codec.decoded(values, widths: [64])
            #expect(codec.decoded(once, widths: [64]) == once)
        }
    }

    @Test(arguments: [ElementType.float16, .bfloat16]) func `elements are stored as the kernels store them`(
        type: ElementType
    ) throws {
        let config = try TinyDesign.grouped.config
        // Through the kernels' own store, then read as Float32: the same attention as over values rounded here.
        let isSame = try outputs(config, KVEncoding(type)) == outputs(config, .float32, decodedBy: KVEncoding(type))
        #expect(isSame)
    }

    @Test func `bytes are counted from tokens, and every exactness gate holds`() throws {
        let config = try TinyDesign.grouped.config
        let geometry = config.kvGeometry(CacheEncoding(.toy))[0]
        #expect(geometry.bytesPerToken == geometry.kvHeads * 2 * (geometry.keyDim + 4))
        for gate in try gates(config, encoding: CacheEncoding(.toy)) {
            #expect(gate.passes, "\(gate.name): \(gate.largestDifference)")
        }
    }
}
