import Testing

@testable import Kernels

/// Keys less their block's mean in codes of 4 bits, and the rotation of vectors.
@Suite struct CentredCodecTests {
    private func encoded(_ vectors: [Float]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: CentredCodec().bytes(dim: vectors.count / 32))
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        CentredCodec().encode(vectors.span, into: &raw)
        return bytes
    }

    private func half(_ bytes: [UInt8], at index: Int) -> Float {
        Float(Float16(bitPattern: UInt16(bytes[index]) | UInt16(bytes[index + 1]) << 8))
    }

    private func transformed(_ vector: [Float]) -> [Float] {
        var vector = vector
        vector.withUnsafeMutableBufferPointer { Hadamard.transform($0.baseAddress!, width: $0.count) }
        return vector
    }

    @Test func `a block is as worked out by hand`() {
        // Half of the tokens are (0, 1, 2, 3), half (30, 1, 2, 3): means 15, 1, 2, 3, and rests of -15 and 15 in channel 0 alone.
        let block = (0..<32).flatMap { [$0 % 2 == 0 ? 0 : 30, 1, 2, 3] as [Float] }
        let bytes = encoded(block)
        // m = -15, s = 1: channel 0 is in the low half of byte 0, 1 in that of byte 1, 2 and 3 in the high ones. Then s and m.
        #expect(Array(bytes[..<6]) == [0 | 15 << 4, 15 | 15 << 4, 0x00, 0x3C, 0x80, 0xCB])
        // m = 0, s = 1.
        #expect(Array(bytes[6..<12]) == [15 | 0 << 4, 0 | 0 << 4, 0x00, 0x3C, 0x00, 0x00])
        #expect([0, 2, 4, 6].map { half(bytes, at: 32 * 6 + $0) } == [15, 1, 2, 3])
        #expect(bytes.count == 32 * 6 + 8 && CentredCodec().rounded(block[...]) == block)
    }

    @Test func `elements are off by half a step at most, once and once more`() {
        let dim = 24
        for (seed, magnitude) in [1e-4, 1, 300].enumerated() {
            // Channels of means of their own, some of them far beyond the tokens' differences.
            let common = random(dim, seed: UInt64(seed + 10), in: -20 * magnitude...20 * magnitude)
            let block = random(32 * dim, seed: UInt64(seed), in: -magnitude...magnitude).enumerated().map {
                $1 + common[$0 % dim]
            }
            func worst(_ block: [Float], _ bytes: [UInt8], _ decoded: [Float]) -> Float {
                zip(block, decoded).enumerated().reduce(0) { worst, pair in
                    let step = half(bytes, at: pair.offset / dim * 16 + 12)
                    // Sums with a mean are rounded to a Float themselves.
                    return max(worst, (abs(pair.element.0 - pair.element.1) - abs(pair.element.0) * 0x1p-22) / step)
                }
            }
            let once = CentredCodec().rounded(block[...])
            let twice = CentredCodec().rounded(once[...])
            #expect(worst(block, encoded(block), once) <= 0.5 + 1e-4, "\(magnitude)")
            #expect(worst(once, encoded(once), twice) <= 0.5 + 1e-4, "\(magnitude)")
        }
    }

    @Test func `a large mean costs the differences nothing`() {
        let common = random(32, seed: 8, in: -100...100).map { Float(Float16($0)) }
        let small = random(32 * 32, seed: 9, in: -0.01...0.01)
        let block = small.indices.map { common[$0 % 32] + small[$0] }
        func worst(_ decoded: [Float]) -> Float { zip(decoded, block).map { abs($0 - $1) }.max() ?? .nan }
        #expect(worst(CentredCodec().rounded(block[...])) < 0.002)
        #expect(worst((0..<32).flatMap { AsymmetricCodec().rounded(block[$0 * 32..<($0 + 1) * 32]) }) > 3)
    }

    @Test func `an element that is not finite makes its block NaN`() {
        for wrong in [Float.nan, .infinity, -.infinity, 3e6] {
            var block = random(32 * 8, seed: 4)
            block[17 * 8 + 5] = wrong
            let isLost = CentredCodec().rounded(block[...]).allSatisfy(\.isNaN)
            #expect(isLost, "\(wrong)")
        }
    }

    @Test func `the transform is as worked out by hand, orthogonal and its own inverse`() {
        #expect(transformed([0, 1, 0, 0]) == [0.5, -0.5, 0.5, -0.5])
        // Twelve elements are three blocks of four.
        #expect(transformed([Float](repeating: 0, count: 8) + [2, 0, 0, 0]) == [Float](repeating: 0, count: 8) + [1, 1, 1, 1])
        for width in [1, 6, 64, 96] {
            let vector = random(width, seed: UInt64(width))
            let once = transformed(vector)
            let norms = [vector, once].map { $0.reduce(0) { $0 + $1 * $1 } }
            #expect(abs(norms[0] - norms[1]) < 1e-5 * norms[0])
            let isBack = zip(vector, transformed(once)).allSatisfy { abs($0 - $1) < 1e-6 }
            #expect(isBack, "\(width)")
        }
    }

    @Test func `an outlier costs the other elements less where it is rotated`() {
        var vector = random(64, seed: 3)
        vector[11] += 40
        func error(_ decoded: [Float]) -> Float { zip(decoded, vector).reduce(0) { $0 + ($1.0 - $1.1) * ($1.0 - $1.1) } }
        let codec = AsymmetricCodec()
        let rotated = transformed(codec.rounded(transformed(vector)[...]))
        #expect(error(rotated) < error(codec.rounded(vector[...])) / 2)
    }
}
