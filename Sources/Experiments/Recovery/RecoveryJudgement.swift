import Foundation

/// Whether the tokens to recovery can be told from a diagnosis: each parent's conversions predicted from the other parents', against
/// simply predicting the others' mean.
///
/// Errors are of the logarithm of tokens: an error of ln 2 is a factor of two either way.
public struct RecoveryJudgement: Sendable, Codable, Hashable {
    /// The bound of recovery: percent above the parent's bits per byte.
    public var withinPercent: Double
    /// Conversions that recovered by training, on which predictions are judged.
    public var examples: Int
    /// Conversions of which no uptraining recovered; they are left out, so that predictions hold for recovering ones alone.
    public var unreached: Int
    /// Conversions within the limit before any training.
    public var immediate: Int
    /// Parents of the conversions judged on.
    public var parents: Int
    /// Root of the mean squared error of the regression, as a factor; nil where it can't be judged.
    public var regressionFactor: Double?
    /// The same of the mean.
    public var meanFactor: Double?
    /// The mean's absolute error minus the regression's, in ln tokens, over parents; positive is for the regression.
    public var gain: Double?
    /// Half of the gain's 95 % interval (Student's t over parents).
    public var gainMargin: Double?

    /// Fewest conversions and parents to judge on.
    public static let leastExamples = 9, leastParents = 3

    /// Judges on `examples`.
    public init(_ examples: [RecoveryExample], within percent: Double) {
        withinPercent = percent
        let found = examples.map { (example: $0, tokens: $0.tokens(within: percent)) }
        unreached = found.count { $0.tokens == nil }
        immediate = found.count { $0.tokens == 0 }
        let cases = Self.cases(examples, within: percent)
        self.examples = cases.count
        let names = Set(cases.map(\.parent)).sorted()
        parents = names.count
        guard cases.count >= Self.leastExamples, names.count >= Self.leastParents else { return }
        var errors: [(regression: Double, mean: Double)] = []
        var gains: [Double] = []
        for name in names {
            let others = cases.filter { $0.parent != name }
            let model = RidgeRegression(others.map { ($0.x, $0.y) })
            let mean = others.reduce(0) { $0 + $1.y } / Double(others.count)
            let own = cases.filter { $0.parent == name }.map {
                (regression: abs(model.prediction($0.x) - $0.y), mean: abs(mean - $0.y))
            }
            gains.append(own.reduce(0) { $0 + $1.mean - $1.regression } / Double(own.count))
            errors += own
        }
        func factor(_ values: [Double]) -> Double { exp((values.reduce(0) { $0 + $1 * $1 } / Double(values.count)).squareRoot()) }
        regressionFactor = factor(errors.map(\.regression))
        meanFactor = factor(errors.map(\.mean))
        if let figure = SweepSummary.Figure(gains), let error = figure.standardError {
            gain = figure.mean
            gainMargin = error * StudentT.quantile975(gains.count - 1)
        }
    }

    /// Whether the regression is better than the mean beyond doubt; nil where it can't be judged.
    public var beatsMean: Bool? {
        guard let gain, let gainMargin else { return nil }
        return gain - gainMargin > 0
    }

    /// The comparison of the regression with the mean, in words; nil where it can't be judged.
    var outcome: String? {
        let lesser = (gain ?? 0) > 0 ? "not told apart from the mean" : "does not beat the mean"
        return beatsMean.map { $0 ? "better than the mean" : lesser }
    }

    /// The judgement in a sentence.
    public var verdict: String {
        guard let regressionFactor, let meanFactor, let gain, let gainMargin, let outcome else {
            return
                "cannot be judged: \(examples) conversions of \(parents) parents recovered by training, it takes \(Self.leastExamples) of \(Self.leastParents)"
        }
        let figures = String(
            format: "error ×/÷ %.2f, the mean's ×/÷ %.2f; gain %+.3f ± %.3f ln tokens", regressionFactor, meanFactor, gain,
            gainMargin)
        return "\(outcome) (\(figures))"
    }

    /// The conversions that needed some tokens, by features and the logarithm of tokens.
    static func cases(_ examples: [RecoveryExample], within percent: Double) -> [(parent: String, x: [Double], y: Double)] {
        examples.compactMap { example in
            guard let tokens = example.tokens(within: percent), tokens > 0, example.features.allSatisfy(\.isFinite) else {
                return nil
            }
            return (example.parent, example.features, log(tokens))
        }
    }
}

/// Student's t distribution.
enum StudentT {
    private static let table = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110,
        2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ]

    /// The 97.5 % quantile of Student's t with `degrees` of freedom, at least 1; from a table to 30, then within 0.3 %.
    static func quantile975(_ degrees: Int) -> Double {
        guard degrees > table.count else { return table[max(degrees, 1) - 1] }
        // First terms of the Cornish-Fisher expansion around the normal quantile z: z + (z³ + z)/(4ν).
        let z = 1.959964
        return z + (z * z * z + z) / (4 * Double(degrees))
    }
}
