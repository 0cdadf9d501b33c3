import Files
import Foundation
import Glibc

/// A run's metrics as JSON Lines, one flushed line an event.
public final class MetricsFile {
    /// One line. Only what the event has is written.
    public struct Line: Codable, Sendable, Equatable {
        /// Steps done.
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

        /// A line for the event after `step` steps, no figure set yet.
        public init(step: Int) { self.step = step }
    }

    private let file: RegularFile
    private let path: String

    /// Opens the file, dropping lines past `step`: those of steps that a resumed run will do again.
    public init(path: String, keepingThrough step: Int) throws {
        self.path = path
        let kept = Self.read(path: path).filter { $0.step <= step }
        var rewritten = try AtomicFile(path: path, links: .refused)
        for line in kept { try rewritten.append(Array((try CanonicalJSON.text(of: line) + "\n").utf8)) }
        try rewritten.commit()
        file = try RegularFile(path: path, .append, links: .refused)
    }

    /// Appends one line, all of it or, where the disk is full, nothing.
    public func write(_ line: Line) throws {
        let bytes: [UInt8]
        do { bytes = Array((try CanonicalJSON.text(of: line) + "\n").utf8) } catch {
            throw TrainingError.unwritableMetrics(path: path, step: line.step)
        }
        let start = lseek(file.descriptor, 0, SEEK_END)
        var done = 0
        while done < bytes.count {
            let written = unsafe bytes.withUnsafeBytes { bytes in
                unsafe bytes.baseAddress.map { unsafe Glibc.write(file.descriptor, $0 + done, bytes.count - done) } ?? 0
            }
            if written < 0 {
                let code = errno
                if code == EINTR { continue }
                // The part of the line that fitted would be lost with the next one behind it.
                if done > 0 { _ = ftruncate(file.descriptor, start) }
                throw FileError.system(path: path, action: "append", errno: code)
            }
            done += written
        }
    }

    /// The lines of a metrics file; one cut short by a crash is left out, and what is no ordinary file has none.
    public static func read(path: String) -> [Line] {
        guard let bytes = try? RegularFile.contents(path, links: .refused) else { return [] }
        let decoder = JSONDecoder()
        return bytes.split(separator: 10).compactMap { try? decoder.decode(Line.self, from: Data($0)) }
    }
}
