/// A proportion with its 95 % interval (Wilson 1927).
///
/// With n observations, mean p and z = 1.96:
///
/// ```
/// (p + z²/2n ± z·√(p(1 − p)/n + z²/4n²)) / (1 + z²/n)
/// ```
///
/// For scores between 0 and 1 that are not 0 or 1 it is too wide: no distribution on [0, 1] of that mean has a larger variance.
public struct WilsonInterval: Sendable, Hashable, Codable {
    /// Observations.
    public var n: Int
    /// Their mean.
    public var mean: Double
    /// The interval's ends, from 0 to 1.
    public var low: Double, high: Double

    /// The interval of `scores`, which are from 0 to 1 and at least one.
    public init(_ scores: [Double]) {
        precondition(!scores.isEmpty, "WilsonInterval: no scores")
        n = scores.count
        let count = Double(n)
        mean = scores.reduce(0, +) / count
        let z = 1.959963984540054
        let scale = 1 + z * z / count
        let center = (mean + z * z / (2 * count)) / scale
        let half = z * (mean * (1 - mean) / count + z * z / (4 * count * count)).squareRoot() / scale
        // An end is the mean where all are equal, but for rounding.
        low = mean == 0 ? 0 : max(0, center - half)
        high = mean == 1 ? 1 : min(1, center + half)
    }
}

/// The difference of two configurations' scores, paired over examples.
public struct PairedScores: Sendable, Hashable, Codable {
    /// Examples that both have scored.
    public var n: Int
    /// The mean of the other's score minus the reference's; negative is worse.
    public var difference: Double
    /// The standard error of that mean, √(Σ(dᵢ − d)²/(n − 1)/n); nil for fewer than two examples.
    public var standardError: Double?
    /// Examples whose score is lower than the reference's, and examples whose score is higher.
    public var lost: Int, gained: Int

    /// The difference of `pairs`, which are at least one.
    public init(_ pairs: [(reference: Double, other: Double)]) {
        precondition(!pairs.isEmpty, "PairedScores: no examples")
        n = pairs.count
        let count = Double(n)
        let differences = pairs.map { $0.other - $0.reference }
        let mean = differences.reduce(0, +) / count
        difference = mean
        lost = differences.count { $0 < 0 }
        gained = differences.count { $0 > 0 }
        guard n > 1 else { return }
        standardError = (differences.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / (count - 1) / count).squareRoot()
    }
}
