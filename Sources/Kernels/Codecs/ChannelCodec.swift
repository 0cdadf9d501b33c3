import CKernels

/// Asymmetric codes of 2 or 4 bits with a scale and an offset a channel over a block of tokens (Liu et al. 2024, KIVI, section 3.2):
/// x̂ = m + s·q with q in 0...2ᵇ − 1 and m = min x over the block's tokens, the numbers that ``AsymmetricCodec`` stores for a vector.
///
/// A few channels of keys are large in every token, so that a scale a token would leave little to the others.
///
/// A token's codes are laid out as those of a vector (``PackedCodes``), token after token; the scales of all channels follow, then
/// their offsets. A channel with an element that is not finite decodes to NaN.
struct ChannelCodec: KVCodec {
    let bits: Int

    var name: String { "channel\(bits)" }
    var kernel: Int32? { Int32((bits == 4 ? KK_ELEMENT_CHANNEL4 : KK_ELEMENT_CHANNEL2).rawValue) }
    var blockElements: Int { 8 / bits }
    let blockTokens = Int(KK_CHANNEL_TOKENS)
    var divergenceBound: Double { bits == 2 ? 0.5 : 0.03 }

    func bytes(dim: Int) -> Int { blockTokens * PackedCodes.bytes(dim, bits: bits) + scaleBytes(dim: dim) }
    func scaleBytes(dim: Int) -> Int { 4 * dim }

    func encode(_ vectors: Span<Float>, into bytes: inout MutableRawSpan) {
        let dim = vectors.count / blockTokens
        let (codeBytes, scales) = (PackedCodes.bytes(dim, bits: bits), blockTokens * PackedCodes.bytes(dim, bits: bits))
        var ranges: [AsymmetricRange] = []
        for channel in 0..<dim {
            var column = [Float](repeating: 0, count: blockTokens)
            for token in 0..<blockTokens { column[token] = vectors[token * dim + channel] }
            let range = AsymmetricRange(of: column.span, bits: bits)
            range.store(to: &bytes, at: scales + 2 * channel, offsetAt: scales + 2 * (dim + channel))
            ranges.append(range)
        }
        for token in 0..<blockTokens {
            PackedCodes.store(dim, bits: bits, to: &bytes, at: token * codeBytes) { ranges[$0].code(vectors[token * dim + $0]) }
        }
    }

    func decode(_ bytes: RawSpan, into vectors: inout MutableSpan<Float>) {
        let dim = vectors.count / blockTokens
        let (codeBytes, scales) = (PackedCodes.bytes(dim, bits: bits), blockTokens * PackedCodes.bytes(dim, bits: bits))
        for channel in 0..<dim {
            let range = AsymmetricRange(bytes, at: scales + 2 * channel, offsetAt: scales + 2 * (dim + channel), bits: bits)
            for token in 0..<blockTokens {
                vectors[token * dim + channel] = range.decoded(
                    PackedCodes.code(channel, of: dim, bits: bits, bytes, at: token * codeBytes))
            }
        }
    }
}
