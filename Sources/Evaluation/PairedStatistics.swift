import Glibc

/// The difference in bits per byte between two models on the same text, with its standard error.
///
/// The text is cut into units that both models scored; unit i has dᵢ = nllᵢ(other) − nllᵢ(reference) nats and bᵢ bytes. The
/// difference is the ratio D = Σ dᵢ / (ln 2 · Σ bᵢ), and its standard error that of a ratio estimator (Cochran 1977,
/// Sampling Techniques, section 6.3): √(n/(n − 1) · Σ (dᵢ/ln 2 − D·bᵢ)²) / Σ bᵢ. Pairing removes the variance of units that are
/// harder than others for both models.
public struct PairedDifference: Sendable, Hashable, Codable {
    /// Bits per byte of the other model minus those of the reference; positive is worse.
    public var bitsPerByte: Double
    /// Its standard error; nil for fewer than two units.
    public var standardError: Double?
    /// Units compared.
    public var units: Int

    /// The difference from each unit's two losses in nats and its bytes.
    public init(units: [(reference: Double, other: Double, bytes: Int)]) {
        let bytes = Double(max(1, units.reduce(0) { $0 + $1.bytes }))
        self.init(parts: units.map { (($0.other - $0.reference) / (M_LN2 * bytes), Double($0.bytes) / bytes) })
    }

    /// Pairs two models' results on one text: window by window where both scored the same windows (one tokenizer), else by
    /// stretches of `block` bytes, each token counted in the stretch where it ends.
    ///
    /// Two tokenizers may leave different bytes unscored. Each model's losses are therefore divided by its own scored bytes, so
    /// that the difference is that of the two bits per byte, and a stretch's share of the text stands for its share of either
    /// model's bytes.
    public init(reference: PerplexityResult, other: PerplexityResult, block: Int = 1024) {
        let sameWindows =
            reference.windows.count == other.windows.count
            && zip(reference.windows, other.windows).allSatisfy { $0.bytes == $1.bytes && $0.tokens == $1.tokens }
        if sameWindows {
            self.init(units: zip(reference.windows, other.windows).map { ($0.nll, $1.nll, $0.bytes) })
            return
        }
        var sums: [Int: Double] = [:]
        for (result, sign) in [(reference, -1.0), (other, 1.0)] {
            let scale = sign / (M_LN2 * Double(max(1, result.bytesScored)))
            for (end, nll) in result.tokens { sums[max(end - 1, 0) / block, default: 0] += Double(nll) * scale }
        }
        let span = max(1, reference.tokens.last?.end ?? 0, other.tokens.last?.end ?? 0)
        self.init(
            parts: sums.sorted { $0.key < $1.key }.map { key, sum in
                (sum, Double(min(block, span - key * block)) / Double(span))
            })
    }

    /// The difference from each unit's part of it in bits per byte, and its share of all bytes.
    private init(parts: [(difference: Double, share: Double)]) {
        let total = parts.reduce(0) { $0 + $1.difference }
        bitsPerByte = total
        units = parts.count
        guard parts.count > 1 else { return }
        let n = Double(parts.count)
        let squares = parts.reduce(0.0) { sum, part in
            let residual = part.difference - total * part.share
            return sum + residual * residual
        }
        standardError = (n / (n - 1) * squares).squareRoot()
    }
}
