/// Scales of codecs: numbers of half precision, rounded up so that codes cover their vector.
///
/// Below the least normal half (2⁻¹⁴) scales are powers of two, whose steps are coarse enough for a decoded vector to have the
/// same scale again. NaN stands for a vector that no scale covers: one with an element that is not finite, or too large.
enum HalfScale {
    /// The least scale from `x` ≥ 0 on; NaN beyond 65504.
    static func atLeast(_ x: Float) -> Float {
        let step: UInt32 = x < 0x1p-14 ? 0x7F_FFFF : 0x1FFF
        guard x <= 65504 else { return .nan }
        return max(0x1p-24, Float(bitPattern: (x.bitPattern + step) & ~step))
    }

    /// The greatest half that is not above `x`, and the distance to the next; NaN beyond ±65504.
    static func below(_ x: Float) -> (value: Float, spacing: Float) {
        guard abs(x) <= 65504 else { return (.nan, .nan) }
        var half = Float16(x)
        if Float(half) > x { half = half.nextDown }
        // Zero has one form: -0 is decoded as +0.
        return (Float(half) + 0, Float(half.nextUp) - Float(half))
    }

    /// The largest magnitude in `vector`; NaN where an element is not finite.
    static func largest(_ vector: Span<Float>) -> Float {
        var largest: Float = 0
        for index in vector.indices {
            guard vector[index].isFinite else { return .nan }
            largest = max(largest, abs(vector[index]))
        }
        return largest
    }

    static func store(_ scale: Float, to bytes: inout MutableRawSpan, at offset: Int) {
        bytes.storeBytes(of: Float16(scale).bitPattern, toByteOffset: offset, as: UInt16.self)
    }

    static func load(_ bytes: RawSpan, at offset: Int) -> Float {
        unsafe Float(Float16(bitPattern: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: UInt16.self)))
    }
}
