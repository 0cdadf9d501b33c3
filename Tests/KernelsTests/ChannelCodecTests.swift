import Foundation
import Testing

@testable import Kernels

/// Codecs of channels over blocks of 32 tokens, and of vectors in 2 bits, against KIVI's formulas.
@Suite struct ChannelCodecTests {
    private struct Fixture: Decodable {
        struct Group: Decodable {
            var offsets: [UInt16], scales: [UInt16]
            var codes: [UInt8]
            /// What the paper's formulas decode to, with scales that are not rounded.
            var printed: [Double]
        }
        struct Block: Decodable {
            var values: [UInt32]
            var channels4: Group, channels2: Group, tokens4: Group, tokens2: Group
        }
        var width: Int
        var blocks: [Block]
    }

    private func fixture() throws -> Fixture {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        let data = try Data(contentsOf: folder.appendingPathComponent("Fixtures/kivi_blocks.json"))
        return try JSONDecoder().decode(Fixture.self, from: data)
    }

    private func encoded(_ codec: any KVCodec, _ vectors: [Float]) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: codec.bytes(dim: vectors.count / codec.blockTokens))
        var span = bytes.mutableSpan
        var raw = span.mutableBytes
        codec.encode(vectors.span, into: &raw)
        return bytes
    }

    /// The code of each element, by the layout of ``PackedCodes``.
    private func codes(_ bytes: [UInt8], tokens: Int, width: Int, bits: Int) -> [UInt8] {
        let size = width * bits / 8
        return (0..<tokens).flatMap { token in
            (0..<width).map { bytes[token * size + $0 % size] >> UInt8($0 / size * bits) & UInt8(1 << bits - 1) }
        }
    }

    private func halves(_ bytes: ArraySlice<UInt8>) -> [UInt16] {
        stride(from: bytes.startIndex, to: bytes.endIndex, by: 2).map { UInt16(bytes[$0]) | UInt16(bytes[$0 + 1]) << 8 }
    }

    @Test(arguments: [4, 2]) func `keys have the codes, offsets and scales that KIVI's formulas give a channel`(bits: Int) throws
    {
        let fixture = try fixture()
        let (width, codec) = (fixture.width, ChannelCodec(bits: bits))
        for block in fixture.blocks {
            let (values, group) = (block.values.map { Float(bitPattern: $0) }, bits == 4 ? block.channels4 : block.channels2)
            let bytes = encoded(codec, values)
            let stored = halves(bytes[(32 * width * bits / 8)...])
            #expect(codes(bytes, tokens: 32, width: width, bits: bits) == group.codes)
            #expect(Array(stored[..<width]) == group.scales && Array(stored[width...]) == group.offsets)
            try checkDecoded(codec.rounded(values[...]), values, group) { $0 % width }
        }
    }

    @Test(arguments: [4, 2]) func `values have the codes, offset and scale that KIVI's formulas give a token`(bits: Int) throws {
        let fixture = try fixture()
        let (width, codec) = (fixture.width, AsymmetricCodec(bits: bits))
        for block in fixture.blocks {
            let (values, group) = (block.values.map { Float(bitPattern: $0) }, bits == 4 ? block.tokens4 : block.tokens2)
            var decoded: [Float] = []
            for token in 0..<32 {
                let vector = Array(values[token * width..<(token + 1) * width])
                let bytes = encoded(codec, vector)
                #expect(
                    codes(bytes, tokens: 1, width: width, bits: bits)
                        == Array(group.codes[token * width..<(token + 1) * width]))
                #expect(halves(bytes[(width * bits / 8)...]) == [group.scales[token], group.offsets[token]])
                decoded += codec.rounded(vector[...])
            }
            try checkDecoded(decoded, values, group) { $0 / width }
        }
    }

    /// Decoded values are off by half a step at most, and from those of the formulas as printed by what rounding the scale moves
    /// them: a step at most.
    private func checkDecoded(
        _ decoded: [Float], _ values: [Float], _ group: Fixture.Group, _ index: (Int) -> Int
    ) throws {
        var (worst, furthest) = (0.0, 0.0)
        for (position, pair) in zip(decoded, values).enumerated() {
            let scale = Double(Float16(bitPattern: group.scales[index(position)]))
            worst = max(worst, abs(Double(pair.0) - Double(pair.1)) / scale)
            furthest = max(furthest, abs(Double(pair.0) - group.printed[position]) / scale)
        }
        #expect(worst < 0.5 + 1e-3 && furthest < 1 + 1e-3, "\(worst), \(furthest)")
    }

    @Test func `a block is as worked out by hand`() {
        // Channel 0 goes from -1 to 14 in steps of 1, channel 1 is 3 throughout: m = 3 and s twice the spacing of halves there.
        let block: [Float] = (0..<32).flatMap { [Float(min($0, 15)) - 1, 3] }
        let bytes = encoded(ChannelCodec(bits: 4), block)
        #expect(bytes[..<32] == ((0..<32).map { UInt8(min($0, 15)) })[...])
        // Scales 1 and 2⁻⁸, then offsets -1 and 3.
        #expect(Array(bytes[32...]) == [0x00, 0x3C, 0x00, 0x1C, 0x00, 0xBC, 0x00, 0x42])
        #expect(ChannelCodec(bits: 4).rounded(block[...]) == block)
        // Four codes of 2 bits a byte: s = 1, m = -1.
        #expect(encoded(AsymmetricCodec(bits: 2), [-1, 0, 1, 2]) == [0b11_10_01_00, 0x00, 0x3C, 0x00, 0xBC])
    }

    @Test(arguments: [4, 2]) func `a channel with an element that is not finite decodes to NaN, and no other`(bits: Int) {
        for wrong in [Float.nan, .infinity, -.infinity] {
            var block = random(32 * 8, seed: 4)
            block[17 * 8 + 5] = wrong
            let decoded = ChannelCodec(bits: bits).rounded(block[...])
            let isRight = decoded.indices.allSatisfy { decoded[$0].isNaN == ($0 % 8 == 5) }
            #expect(isRight, "\(wrong)")
        }
    }

    @Test(arguments: [4, 2]) func `decoded blocks encode to the same bytes`(bits: Int) {
        for (seed, magnitude) in [1e-6, 1e-3, 1, 300].enumerated() {
            let block = random(32 * 24, seed: UInt64(seed), in: -magnitude...magnitude * 3)
            let codec = ChannelCodec(bits: bits)
            let once = codec.rounded(block[...])
            #expect(encoded(codec, once) == encoded(codec, block), "\(magnitude)")
        }
    }
}
