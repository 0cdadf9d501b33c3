import CKernels

/// Asymmetric codes of 2 or 4 bits with a scale and an offset a vector: x̂ = m + s·q with q in 0...2ᵇ − 1, m = min x and
/// s = (max x − m) / (2ᵇ − 1), as ``AsymmetricRange`` stores them.
///
/// A vector with an element that is not finite decodes to NaN. The codes (``PackedCodes``) come first; the scale and the offset follow.
struct AsymmetricCodec: KVCodec {
    var bits = 4

    var name: String { "asymmetric\(bits)" }
    var kernel: Int32? { Int32((bits == 4 ? KK_ELEMENT_ASYMMETRIC4 : KK_ELEMENT_ASYMMETRIC2).rawValue) }
    var blockElements: Int { 8 / bits }
    var divergenceBound: Double { bits == 2 ? 0.5 : 0.03 }

    func bytes(dim: Int) -> Int { PackedCodes.bytes(dim, bits: bits) + 4 }
    func scaleBytes(dim: Int) -> Int { 4 }

    func encode(_ vector: Span<Float>, into bytes: inout MutableRawSpan) {
        let range = AsymmetricRange(of: vector, bits: bits)
        PackedCodes.store(vector.count, bits: bits, to: &bytes, at: 0) { range.code(vector[$0]) }
        let end = PackedCodes.bytes(vector.count, bits: bits)
        range.store(to: &bytes, at: end, offsetAt: end + 2)
    }

    func decode(_ bytes: RawSpan, into vector: inout MutableSpan<Float>) {
        let count = vector.count
        let end = PackedCodes.bytes(count, bits: bits)
        let range = AsymmetricRange(bytes, at: end, offsetAt: end + 2, bits: bits)
        for index in 0..<count { vector[index] = range.decoded(PackedCodes.code(index, of: count, bits: bits, bytes, at: 0)) }
    }
}

/// The scale and the offset of asymmetric codes: m = min x, a half rounded down, and s = (max x − m) / (2ᵇ − 1), a half rounded up.
///
/// Codes are computed with the stored numbers: |x − x̂| ≤ s/2, and decoded elements encode to the same bytes. For that the least
/// element must have the code 0, so that s is at least twice the spacing of halves at m. NaN where an element is not finite.
struct AsymmetricRange {
    let scale: Float, offset: Float
    private let highest: Float

    init(of elements: Span<Float>, bits: Int) {
        highest = Float(1 << bits - 1)
        var (least, greatest) = (Float.infinity, -Float.infinity)
        for index in elements.indices { (least, greatest) = (min(least, elements[index]), max(greatest, elements[index])) }
        let isFinite = !HalfScale.largest(elements).isNaN
        let below = HalfScale.below(isFinite ? least : .nan)
        // Less by a few roundings of a difference of decoded values, lest those raise the scale once more.
        let step = (greatest - below.value) / highest * (1 - 0x1p-21)
        offset = below.value
        scale = HalfScale.atLeast(below.value.isNaN ? .nan : max(step, 2 * below.spacing))
    }

    /// The scale stored at `position` and the offset at another.
    init(_ bytes: RawSpan, at position: Int, offsetAt: Int, bits: Int) {
        highest = Float(1 << bits - 1)
        (scale, offset) = (HalfScale.load(bytes, at: position), HalfScale.load(bytes, at: offsetAt))
    }

    func store(to bytes: inout MutableRawSpan, at position: Int, offsetAt: Int) {
        HalfScale.store(scale, to: &bytes, at: position)
        HalfScale.store(offset, to: &bytes, at: offsetAt)
    }

    func code(_ element: Float) -> UInt8 {
        scale.isNaN ? 0 : UInt8(max(0, min(highest, ((element - offset) / scale).rounded(.toNearestOrEven))))
    }

    func decoded(_ code: UInt8) -> Float { offset + Float(code) * scale }
}

/// Codes of 2 or 4 bits side by side: with n = 8 / bits codes a byte, byte i holds those of elements i, i + dim/n, i + 2·dim/n …,
/// from its low bits on.
enum PackedCodes {
    static func bytes(_ dim: Int, bits: Int) -> Int { (dim * bits + 7) / 8 }

    /// Stores the `code` of each of `dim` elements, a multiple of those of a byte.
    static func store(_ dim: Int, bits: Int, to bytes: inout MutableRawSpan, at position: Int, _ code: (Int) -> UInt8) {
        let (count, parts) = (dim * bits / 8, 8 / bits)
        for index in 0..<count {
            var packed: UInt8 = 0
            for part in 0..<parts { packed |= code(part * count + index) << UInt8(part * bits) }
            bytes.storeBytes(of: packed, toByteOffset: position + index, as: UInt8.self)
        }
    }

    static func code(_ index: Int, of dim: Int, bits: Int, _ bytes: RawSpan, at position: Int) -> UInt8 {
        let count = dim * bits / 8
        let packed = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: position + index % count, as: UInt8.self)
        return packed >> UInt8(index / count * bits) & UInt8(1 << bits - 1)
    }
}
