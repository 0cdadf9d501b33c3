import Glibc

/// The difference in bits per byte between two models on the same text, with its standard error.
///
/// The text is cut into units that both models scored; unit i has dᵢ = nllᵢ(other) − nllᵢ(reference) nats and bᵢ bytes. The
/// difference is the ratio D = Σ dᵢ / (ln 2 · Σ bᵢ), and its standard error that of a ratio estimator (Cochran 1977,
/// Sampling Techniques, section 6.3): √(n/(n − 1) · Σ (dᵢ/ln 2 − D·bᵢ)²) / Σ bᵢ. Pairing takes out what makes one unit
/// harder than another for both models.
public struct PairedDifference: Sendable, Hashable, Codable {
    /// Bits per byte of the other model minus the reference's; positive is worse.
    public var bitsPerByte: Double
    /// Its standard error; nil for fewer than two units.
    public var standardError: Double?
    /// Units compared.
    public var units: Int

    /// From each unit's two losses in nats and its bytes.
    public init(units: [(reference: Double, other: Double, bytes: Int)]) {
        let bytes = Double(max(1, units.reduce(0) { $0 + $1.bytes }))
        let differences = units.map { ($0.other - $0.reference) / M_LN2 }
        let mean = differences.reduce(0, +) / bytes
        bitsPerByte = mean
        self.units = units.count
        guard units.count > 1 else { return }
        let n = Double(units.count)
        let squares = zip(differences, units).reduce(0.0) { sum, pair in
            let residual = pair.0 - mean * Double(pair.1.bytes)
            return sum + residual * residual
        }
        standardError = (n / (n - 1) * squares).squareRoot() / bytes
    }

    /// Pairs two models' results on one text: window by window where both scored the same windows (one tokenizer), else by
    /// stretches of `block` bytes, each token counted where it ends.
    public init(reference: PerplexityResult, other: PerplexityResult, block: Int = 1024) {
        let sameWindows =
            reference.windows.count == other.windows.count
            && zip(reference.windows, other.windows).allSatisfy { $0.bytes == $1.bytes && $0.tokens == $1.tokens }
        if sameWindows {
            self.init(units: zip(reference.windows, other.windows).map { ($0.nll, $1.nll, $0.bytes) })
            return
        }
        var sums: [Int: (reference: Double, other: Double)] = [:]
        for (end, nll) in reference.tokens { sums[max(end - 1, 0) / block, default: (0, 0)].reference += Double(nll) }
        for (end, nll) in other.tokens { sums[max(end - 1, 0) / block, default: (0, 0)].other += Double(nll) }
        // Where the tokenizers leave different bytes unscored, the bytes of both are close enough to be averaged.
        let total = (reference.bytesScored + other.bytesScored) / 2
        let last = sums.keys.max() ?? 0
        self.init(
            units: sums.sorted { $0.key < $1.key }.map { key, sum in
                (sum.reference, sum.other, key == last ? max(1, total - key * block) : block)
            })
    }
}
