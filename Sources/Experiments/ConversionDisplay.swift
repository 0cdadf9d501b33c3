import Conversion

/// A conversion that its user stopped between two layers or steps.
public struct ConversionStopped: Error {
    /// The stop.
    public init() {}
}

/// Shows the progress of a conversion, with the remaining time of its current part by the pace so far.
public final class ConversionDisplay {
    private let reporter: ProgressReporter
    private let name: String
    private var part = ""
    private var start = ContinuousClock.now
    private var first = 0

    /// A display under `name`, where one is given.
    public init(_ reporter: ProgressReporter, name: String = "") {
        self.reporter = reporter
        self.name = name.isEmpty ? "" : name + "  "
    }

    /// Shows `progress`.
    public func show(_ progress: ConversionProgress) {
        if progress.part != part { (part, start, first) = (progress.part, .now, progress.done) }
        guard progress.total > 0 else { return reporter.progress("\(name)\(progress.part)") }
        let seconds = (ContinuousClock.now - start) / .seconds(1)
        let done = progress.done - first
        let left = done > 0 ? seconds / Double(done) * Double(progress.total - progress.done) : nil
        reporter.progress(
            "\(name)\(progress.part)  \(progress.unit) \(progress.done)/\(progress.total)"
                + (left.map { "  ETA \(ProgressReporter.duration($0))" } ?? ""))
    }
}
