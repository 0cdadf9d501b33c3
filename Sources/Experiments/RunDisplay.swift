import Foundation
import Training

/// The console display of a run: its model and data, its progress, its losses.
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
        flopsPerToken = RunEstimate.flopsPerToken(
            prepared.config, teacher: prepared.plan.distillation?.teacher.config, seq: prepared.sequenceLength)
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
        let precision = prepared.plan.compute.precision
        reporter.progress(
            isLast: report.step == prepared.plan.steps,
            "\(prepared.name)  step \(report.step)/\(prepared.plan.steps)  loss "
                + String(format: "%.4f  lr %.2e  ", smoothedLoss ?? report.loss, report.learningRate)
                + "\(Int(rate)) tokens/s  MFU \(Self.utilisation(rate * flopsPerToken, of: reporter.peak(precision)))"
                + "  ETA \(ProgressReporter.duration(left))")
    }

    /// The share of the machine's measured peak that a run's products reach (model FLOPs utilisation; Chowdhery et al. 2022, PaLM,
    /// section 4.1), with a note where the peak cannot have been the machine's.
    static func utilisation(_ rate: Double, of peak: Double) -> String {
        String(format: "%.0f %%", 100 * rate / peak) + (rate > peak ? " of a peak that was measured beside other work" : "")
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
