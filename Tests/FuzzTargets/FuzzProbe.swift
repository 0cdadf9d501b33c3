import Foundation
import Glibc
import TestSupport

/// A target's folder, in which one damaged file after the other is read.
public struct FuzzProbe {
    /// How a reading went.
    public struct Outcome: Sendable {
        /// What was wrong with it; nil where the file was read, or refused as it should be.
        public var complaint: String?
        /// Whether the file was refused.
        public var isRefused: Bool
        /// Processor seconds it took.
        public var seconds: Double
        /// Bytes by which the process's largest size grew.
        public var growth: Int
    }

    /// A file may take 32 times its size and this, for the allocator's own steps.
    private static let slackBytes = 64 << 20
    private static let secondsLimit = 1.0

    private let target: FuzzTarget
    private let scratch = ScratchDirectory()

    /// A folder with what lies beside the target's file.
    public init(_ target: FuzzTarget) throws {
        self.target = target
        let folder = URL(fileURLWithPath: scratch[target.file]).deletingLastPathComponent()
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        for name in target.beside {
            try scratch.write(try FuzzTarget.bytes(name), to: URL(fileURLWithPath: name).lastPathComponent)
        }
    }

    /// Reads `bytes` as the target's file. `limitsMemory` only where nothing else runs in the process.
    public func read(_ bytes: [UInt8], limitsMemory: Bool) throws -> Outcome {
        let bytes = target.mend(bytes)
        try scratch.write(bytes, to: target.file)
        let (start, memory) = (Self.seconds, Self.peakBytes)
        var outcome = Outcome(isRefused: false, seconds: 0, growth: 0)
        do { try target.read(scratch[target.file]) } catch {
            outcome.isRefused = true
            outcome.complaint = Self.complaint(about: error)
        }
        (outcome.seconds, outcome.growth) = (Self.seconds - start, Self.peakBytes - memory)
        if outcome.seconds > Self.secondsLimit { outcome.complaint = "took \(outcome.seconds) s of processor time" }
        if limitsMemory, outcome.growth > 32 * bytes.count + Self.slackBytes {
            outcome.complaint = "took \(outcome.growth) bytes of memory for a file of \(bytes.count)"
        }
        return outcome
    }

    /// What is wrong with an error, if it isn't one of ours with a sentence.
    private static func complaint(about error: any Error) -> String? {
        let type = String(reflecting: type(of: error))
        if error is FuzzFailure || error is DecodingError || type.contains("NSError") || type.contains("Cocoa") {
            return "\(type): \(error)"
        }
        let text = "\(error)"
        return text.isEmpty || text.utf8.count > 1 << 16 ? "\(type): a description of \(text.utf8.count) bytes" : nil
    }

    private static var seconds: Double {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Double(time.tv_sec) + Double(time.tv_nsec) * 1e-9
    }

    /// The most memory that the process has had resident.
    private static var peakBytes: Int {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return usage.ru_maxrss << 10
    }
}
