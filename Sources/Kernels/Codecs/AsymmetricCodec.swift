import CKernels

/// Asymmetric codes of 4 bits with a scale and an offset a vector: x̂ = m + s·q with q in 0...15, m = min x, a half rounded down,
/// and s = (max x − m) / 15, a half rounded up.
///
/// Codes are computed with the stored numbers: |x − x̂| ≤ s/2, and a decoded vector encodes to the same bytes. For that the least
/// element must have the code 0, so that s is at least twice the spacing of halves at m. A vector with an element that is not
/// finite decodes to NaN.
///
/// Byte i of the codes holds element i in its low half and element dim/2 + i in its high half; the scale and the offset follow.
struct AsymmetricCodec: KVCodec {
    let name = "asymmetric4"
    let kernel: Int32? = Int32(KK_ELEMENT_ASYMMETRIC4.rawValue)
    let blockElements = 2
    let divergenceBound = 0.03

    func bytes(dim: Int) -> Int { (dim + 1) / 2 + 4 }
    func scaleBytes(dim: Int) -> Int { 4 }

    func encode(_ vector: Span<Float>, into bytes: inout MutableRawSpan) {
        var (least, greatest) = (Float.infinity, -Float.infinity)
        for index in vector.indices { (least, greatest) = (min(least, vector[index]), max(greatest, vector[index])) }
        let isFinite = !HalfScale.largest(vector).isNaN
        let offset = HalfScale.below(isFinite ? least : .nan)
        // Less by a few roundings of a difference of decoded values, lest those raise the scale once more.
        let step = (greatest - offset.value) / 15 * (1 - 0x1p-21)
        let scale = HalfScale.atLeast(offset.value.isNaN ? .nan : max(step, 2 * offset.spacing))
        func code(_ element: Float) -> UInt8 {
            scale.isNaN ? 0 : UInt8(max(0, min(15, ((element - offset.value) / scale).rounded(.toNearestOrEven))))
        }
        let half = vector.count / 2
        for index in 0..<half {
            let codes = code(vector[index]) | code(vector[half + index]) << 4
            bytes.storeBytes(of: codes, toByteOffset: index, as: UInt8.self)
        }
        HalfScale.store(scale, to: &bytes, at: half)
        HalfScale.store(offset.value, to: &bytes, at: half + 2)
    }

    func decode(_ bytes: RawSpan, into vector: inout MutableSpan<Float>) {
        let half = vector.count / 2
        let (scale, offset) = (HalfScale.load(bytes, at: half), HalfScale.load(bytes, at: half + 2))
        for index in vector.indices {
            let codes = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: index % half, as: UInt8.self)
            vector[index] = offset + Float(index < half ? codes & 15 : codes >> 4) * scale
        }
    }
}
