import CKernels

/// Symmetric codes of 8 bits with one scale a vector: x̂ = s·q with q in -127...127 and s = max|x| / 127, a half rounded up.
///
/// Codes are computed with the stored scale: |x − x̂| ≤ s/2, and a decoded vector encodes to the same bytes. A vector with an
/// element that is not finite decodes to NaN.
struct SymmetricCodec: KVCodec {
    let name = "int8"
    let kernel: Int32? = Int32(KK_ELEMENT_INT8.rawValue)

    func bytes(dim: Int) -> Int { dim + 2 }
    func scaleBytes(dim: Int) -> Int { 2 }

    func encode(_ vector: Span<Float>, into bytes: inout MutableRawSpan) {
        let scale = HalfScale.atLeast(HalfScale.largest(vector) / 127)
        for index in vector.indices {
            let code = scale.isNaN ? 0 : (vector[index] / scale).rounded(.toNearestOrEven)
            bytes.storeBytes(of: Int8(max(-127, min(127, code))), toByteOffset: index, as: Int8.self)
        }
        HalfScale.store(scale, to: &bytes, at: vector.count)
    }

    func decode(_ bytes: RawSpan, into vector: inout MutableSpan<Float>) {
        let scale = HalfScale.load(bytes, at: vector.count)
        for index in vector.indices {
            vector[index] = unsafe Float(bytes.unsafeLoadUnaligned(fromByteOffset: index, as: Int8.self)) * scale
        }
    }
}
