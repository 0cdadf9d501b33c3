import Foundation
import Training

/// Shows a run to a person: what it is, how far it is, what it has learnt.
final class RunDisplay {
    private let prepared: PreparedRun
    private let reporter: ProgressReporter
    private let flopsPerToken: Double
    private let firstStep: Int
    private var recentSeconds: [Double] = []
    private var smoothedLoss: Double?

    init(prepared: PreparedRun, reporter: ProgressReporter, firstStep: Int) {
        self.prepared = prepared
        self.reporter = reporter
        self.firstStep = firstStep
        flopsPerToken = 6 * prepared.config.matrixParametersPerToken(seq: prepared.sequenceLength)
    }

    func begin(_ trainer: Trainer) {
        let from = firstStep > 0 ? ", resumed at step \(firstStep)" : ""
        reporter.line(
            "\(prepared.name): \(prepared.config.parameterCount) parameters, \(trainer.plan.steps) steps of "
                + "\(trainer.plan.batch)×\(prepared.sequenceLength) tokens\(from)")
    }

    func step(_ report: Trainer.StepReport) {
        recentSeconds = recentSeconds.suffix(19) + [report.seconds]
        smoothedLoss = smoothedLoss.map { 0.9 * $0 + 0.1 * report.loss } ?? report.loss
        let seconds = recentSeconds.reduce(0, +) / Double(recentSeconds.count)
        let rate = Double(report.tokens) / seconds
        let left = Double(prepared.plan.steps - report.step) * seconds
        reporter.progress(
            isLast: report.step == prepared.plan.steps,
            "\(prepared.name)  step \(report.step)/\(prepared.plan.steps)  loss "
                + String(format: "%.4f  lr %.2e  ", smoothedLoss ?? report.loss, report.learningRate)
                + "\(Int(rate)) tokens/s  MFU " + String(format: "%.0f %%", 100 * rate * flopsPerToken / reporter.peak)
                + "  ETA \(ProgressReporter.duration(left))")
    }

    func validation(step: Int, loss: Double) {
        reporter.line(
            "\(prepared.name)  step \(step)  validation loss "
                + String(format: "%.4f, %.4f bits per byte", loss, prepared.bitsPerByte(loss)))
    }

    func sample(step: Int, text: String) {
        reporter.line("\(prepared.name)  step \(step)  sample: \(text.replacing("\n", with: "⏎"))")
    }
}
