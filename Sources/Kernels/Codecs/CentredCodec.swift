import CKernels

/// Asymmetric codes of 4 bits of keys less the mean of a block of 32 tokens: x̂ = μ + (m + s·q) with q in 0...15, μ a half for each
/// channel, and a scale s and an offset m for each token, as ``AsymmetricCodec`` stores them.
///
/// A channel's mean over the tokens is stored once, and leaves a smaller range to the codes.
///
/// Codes are computed with the stored numbers: |x − x̂| ≤ s/2. The decoded block has another mean, so that it may encode to other
/// codes: sealed blocks are copied and never encoded again. A block with an element that is not finite decodes to NaN.
///
/// A token's codes (``PackedCodes``) are followed by its scale and its offset, token after token; the means follow.
struct CentredCodec: KVCodec {
    let name = "centred4"
    var kernel: Int32? { Int32(KK_ELEMENT_CENTRED4.rawValue) }
    let blockElements = 2
    let blockTokens = Int(KK_CHANNEL_TOKENS)
    let divergenceBound = 0.03

    func bytes(dim: Int) -> Int { blockTokens * tokenBytes(dim) + scaleBytes(dim: dim) }
    func scaleBytes(dim: Int) -> Int { 2 * dim }

    /// A token's codes, its scale and its offset.
    private func tokenBytes(_ dim: Int) -> Int { PackedCodes.bytes(dim, bits: 4) + 4 }

    func encode(_ vectors: Span<Float>, into bytes: inout MutableRawSpan) {
        let dim = vectors.count / blockTokens
        let (codeBytes, stride) = (PackedCodes.bytes(dim, bits: 4), tokenBytes(dim))
        var means = [Float](repeating: 0, count: dim)
        for token in 0..<blockTokens {
            for channel in 0..<dim { means[channel] += vectors[token * dim + channel] }
        }
        for channel in 0..<dim {
            means[channel] = Float(Float16(means[channel] / Float(blockTokens)))
            HalfScale.store(means[channel], to: &bytes, at: blockTokens * stride + 2 * channel)
        }
        for token in 0..<blockTokens {
            let rest = (0..<dim).map { vectors[token * dim + $0] - means[$0] }
            let range = AsymmetricRange(of: rest.span, bits: 4)
            PackedCodes.store(dim, bits: 4, to: &bytes, at: token * stride) { range.code(rest[$0]) }
            range.store(to: &bytes, at: token * stride + codeBytes, offsetAt: token * stride + codeBytes + 2)
        }
    }

    func decode(_ bytes: RawSpan, into vectors: inout MutableSpan<Float>) {
        let dim = vectors.count / blockTokens
        let (codeBytes, stride) = (PackedCodes.bytes(dim, bits: 4), tokenBytes(dim))
        for token in 0..<blockTokens {
            let scale = token * stride + codeBytes
            let range = AsymmetricRange(bytes, at: scale, offsetAt: scale + 2, bits: 4)
            for channel in 0..<dim {
                let code = PackedCodes.code(channel, of: dim, bits: 4, bytes, at: token * stride)
                vectors[token * dim + channel] =
                    range.decoded(code) + HalfScale.load(bytes, at: blockTokens * stride + 2 * channel)
            }
        }
    }
}
