import CKernels
import Random
import Testing

/// One instruction set's kernels; tests run over all that this processor has.
struct Level: Sendable, CustomTestStringConvertible {
    private let index: Int

    /// base first, then v3 (AVX2), v4 (AVX-512), v4-bf16 and v4-amx where the processor has them.
    static let all: [Level] = {
        var count: Int32 = 0
        _ = kk_all(&count)
        return (0..<Int(count)).map(Level.init)
    }()

    var table: kk_table {
        var count: Int32 = 0
        return kk_all(&count)[index]!.pointee
    }

    var testDescription: String { String(cString: table.name) }
}

/// Seeded values uniform in `range`.
func random(_ count: Int, seed: UInt64, in range: ClosedRange<Double> = -1...1) -> [Float] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Float(range.lowerBound + (range.upperBound - range.lowerBound) * generator.uniform()) }
}

/// |found − expected| in units of the last place of the expected value as a Float32; 0 where both are NaN or the same infinity.
func ulps(_ found: Float, _ expected: Double) -> Double {
    let rounded = Float(expected)
    if found.isNaN && expected.isNaN || found == rounded { return 0 }
    guard found.isFinite, rounded.isFinite else { return .infinity }
    return abs(Double(found) - expected) / Double(max(rounded.ulp, Float.leastNormalMagnitude.ulp))
}
