import CKernels

/// llama.cpp's `q8_0`: blocks of 32 elements, each with codes of 8 bits and a scale in half precision.
///
/// Codes and scales are those of `quantize_row_q8_0_ref` in llama.cpp's ggml-quants.c; here a vector's scales follow all of its
/// codes. Codes come from the scale before its rounding, so that an element may be off by a little more than half a step. A block
/// with an element that is not finite decodes to NaN.
struct LlamaQ8Codec: KVCodec {
    let name = "q8_0"
    let kernel: Int32? = Int32(KK_ELEMENT_Q8_0.rawValue)
    let blockElements = LlamaBlock.elements

    func bytes(dim: Int) -> Int { dim + scaleBytes(dim: dim) }
    func scaleBytes(dim: Int) -> Int { 2 * LlamaBlock.count(dim) }

    func encode(_ vector: Span<Float>, into bytes: inout MutableRawSpan) {
        for block in 0..<LlamaBlock.count(vector.count) {
            let first = block * LlamaBlock.elements
            let elements = vector.extracting(first..<first + LlamaBlock.elements)
            let scale = HalfScale.largest(elements) / 127
            let inverse = LlamaBlock.inverse(scale)
            for index in elements.indices {
                let code = (elements[index] * inverse).rounded(.toNearestOrAwayFromZero)
                bytes.storeBytes(of: scale.isNaN ? 0 : Int8(code), toByteOffset: first + index, as: Int8.self)
            }
            HalfScale.store(scale, to: &bytes, at: vector.count + 2 * block)
        }
    }

    func decode(_ bytes: RawSpan, into vector: inout MutableSpan<Float>) {
        for index in vector.indices {
            let scale = HalfScale.load(bytes, at: vector.count + 2 * (index / LlamaBlock.elements))
            vector[index] = unsafe Float(bytes.unsafeLoadUnaligned(fromByteOffset: index, as: Int8.self)) * scale
        }
    }
}

/// llama.cpp's `q4_0`: blocks of 32 elements, each with codes of 4 bits and a scale in half precision: x̂ = d·(q − 8).
///
/// Codes and scales are those of `quantize_row_q4_0_ref` in llama.cpp's ggml-quants.c: the element of the largest magnitude has the
/// code 0. Byte i of a block holds element i in its low half and element 16 + i in its high half; a vector's scales follow all of
/// its codes. A block with an element that is not finite decodes to NaN.
struct LlamaQ4Codec: KVCodec {
    let name = "q4_0"
    let kernel: Int32? = Int32(KK_ELEMENT_Q4_0.rawValue)
    let blockElements = LlamaBlock.elements
    let divergenceBound = 0.5

    func bytes(dim: Int) -> Int { LlamaBlock.count(dim) * LlamaBlock.elements / 2 + scaleBytes(dim: dim) }
    func scaleBytes(dim: Int) -> Int { 2 * LlamaBlock.count(dim) }

    func encode(_ vector: Span<Float>, into bytes: inout MutableRawSpan) {
        let half = LlamaBlock.elements / 2
        for block in 0..<LlamaBlock.count(vector.count) {
            let elements = vector.extracting(block * LlamaBlock.elements..<(block + 1) * LlamaBlock.elements)
            var greatest: Float = 0
            for index in elements.indices where abs(elements[index]) > abs(greatest) { greatest = elements[index] }
            let scale = HalfScale.largest(elements).isNaN ? .nan : greatest / -8
            let inverse = LlamaBlock.inverse(scale)
            func code(_ element: Float) -> UInt8 { scale.isNaN ? 0 : UInt8(min(15, element * inverse + 8.5)) }
            for index in 0..<half {
                let codes = code(elements[index]) | code(elements[half + index]) << 4
                bytes.storeBytes(of: codes, toByteOffset: half * block + index, as: UInt8.self)
            }
            HalfScale.store(scale, to: &bytes, at: vector.count / 2 + 2 * block)
        }
    }

    func decode(_ bytes: RawSpan, into vector: inout MutableSpan<Float>) {
        let half = LlamaBlock.elements / 2
        for index in vector.indices {
            let (block, place) = index.quotientAndRemainder(dividingBy: LlamaBlock.elements)
            let codes = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: half * block + place % half, as: UInt8.self)
            let scale = HalfScale.load(bytes, at: vector.count / 2 + 2 * block)
            vector[index] = Float(Int(place < half ? codes & 15 : codes >> 4) - 8) * scale
        }
    }
}

/// A block of llama.cpp's formats.
private enum LlamaBlock {
    static let elements = 32

    static func count(_ dim: Int) -> Int { (dim + elements - 1) / elements }

    /// 1 / `scale`; 0 where that is beyond a Float, as for zeros: the stored scale is 0 then.
    static func inverse(_ scale: Float) -> Float { abs(scale) < .leastNormalMagnitude ? 0 : 1 / scale }
}
