import Conversion
import Foundation

/// The predicted tokens of uptraining until a conversion recovers, by a regression of earlier runs on their diagnoses.
public struct RecoveryPrediction: Sendable, Encodable {
    /// The bound of recovery, in percent above the parent's bits per byte, and the errors of such predictions.
    public var judgement: RecoveryJudgement
    /// Whether the conversion is within the bound untrained, by its cross-entropy.
    public var isThere: Bool
    /// Predicted tokens; nil where there are too few runs, or none is needed.
    public var tokens: Double?
    /// Ends of the 95 % interval, by how far leave-one-parent-out predictions are off.
    public var low: Double?
    /// The interval's upper end.
    public var high: Double?
    /// The runs' geometric mean, the better guide where the regression doesn't beat it.
    public var mean: Double?

    /// The prediction for a conversion diagnosed as `diagnosis`, by `examples`.
    public init(_ diagnosis: Diagnosis, within percent: Double, examples: [RecoveryExample]) {
        judgement = RecoveryJudgement(examples, within: percent)
        isThere = RecoveryExample.lossPercent(diagnosis) <= percent
        let cases = RecoveryJudgement.cases(examples, within: percent)
        let x = RecoveryExample.features(diagnosis)
        guard !isThere, let factor = judgement.regressionFactor, x.allSatisfy(\.isFinite) else { return }
        let value = RidgeRegression(cases.map { ($0.x, $0.y) }).prediction(x)
        // As many independent errors as parents, not as conversions.
        let margin = StudentT.quantile975(judgement.parents - 1) * log(factor)
        (tokens, low, high) = (exp(value), exp(value - margin), exp(value + margin))
        mean = exp(cases.reduce(0) { $0 + $1.y } / Double(cases.count))
    }

    /// For people.
    public var text: String {
        let goal = "within \(String(format: "%g", judgement.withinPercent)) % of the parent's bits per byte"
        if isThere {
            return "\(goal): by its cross-entropy on the calibration text, to which it may have been fitted, it is there already"
        }
        let basis = "\(judgement.examples) conversions of \(judgement.parents) parents"
        guard let tokens, let low, let high, let mean else {
            return
                "\(goal): too few earlier runs to predict the tokens it takes: \(basis) got there (\(judgement.unreached) did not), it takes "
                + "\(RecoveryJudgement.leastExamples) of \(RecoveryJudgement.leastParents); a sweep ('kvlab lab') makes them"
        }
        var text =
            "\(goal): about \(rounded(tokens)) tokens of uptraining (95 % interval \(rounded(low)) to \(rounded(high))), by \(basis)\n"
            + "  predicting each parent from the others is \(judgement.verdict)"
        if judgement.unreached > 0 { text += "\n  \(judgement.unreached) conversions never got there and are left out" }
        if judgement.beatsMean != true { text += "\n  going by the mean of the runs it would be \(rounded(mean))" }
        return text
    }

    /// Two significant digits.
    private func rounded(_ value: Double) -> String {
        guard value.isFinite, value < 1e15 else { return "unknown" }
        let power = pow(10, max(0, log10(max(value, 1)).rounded(.down) - 1))
        return groupedDigits(Int((value / power).rounded() * power))
    }
}
