import Files
import Foundation

/// A run's metrics as JSON Lines: one line an event, flushed at once.
public final class MetricsFile {
    /// One line, with only the figures that the event has.
    public struct Line: Codable, Sendable, Equatable {
        /// Steps completed.
        public var step: Int
        /// Mean training loss of the step in nats per token.
        public var loss: Double?
        /// Learning rate of the step.
        public var learningRate: Double?
        /// Global gradient norm before clipping.
        public var gradientNorm: Double?
        /// Tokens a second of the step.
        public var tokensPerSecond: Double?
        /// Held-out loss in nats per token.
        public var validationLoss: Double?
        /// Held-out bits per byte.
        public var validationBitsPerByte: Double?
        /// A sampled continuation, prompt included.
        public var sample: String?

        /// A line for an event after `step` steps, without figures.
        public init(step: Int) { self.step = step }
    }

    private let file: AppendedFile
    private let path: String

    /// Opens the file and drops lines past `step`, whose steps a resumed run repeats.
    public init(path: String, keepingThrough step: Int) throws {
        self.path = path
        let kept = try Self.read(path: path).filter { $0.step <= step }.map { try CanonicalJSON.text(of: $0) + "\n" }
        try AtomicFile.write(Array(kept.joined().utf8), to: path, links: .refused)
        file = try AppendedFile(path: path)
    }

    /// Appends one line completely or, where the disk is full, not at all.
    public func write(_ line: Line) throws {
        let text: String
        do { text = try CanonicalJSON.text(of: line) } catch {
            throw TrainingError.unwritableMetrics(path: path, step: line.step)
        }
        try file.append(line: text)
    }

    /// The lines of a metrics file; a line truncated by a crash is left out, and a path that is no ordinary file has none.
    public static func read(path: String) -> [Line] {
        guard let bytes = try? RegularFile.contents(path, links: .refused) else { return [] }
        let decoder = JSONDecoder()
        return bytes.split(separator: 10).compactMap { try? decoder.decode(Line.self, from: Data($0)) }
    }
}
