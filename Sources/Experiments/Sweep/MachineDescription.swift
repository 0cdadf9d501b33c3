import Foundation
import Kernels
import Threads

/// The machine a figure was measured on, in words.
public enum MachineDescription {
    /// Processor, threads used and memory: "AMD EPYC 9R14, 2 threads, 24 GiB".
    public static var text: String {
        let memory = Int(ProcessInfo.processInfo.physicalMemory)
        return "\(processor), \(Parallel.threads) threads, \(Int((Double(memory) / Double(1 << 30)).rounded())) GiB"
    }

    /// Now, as ISO 8601 has it.
    public static var date: String { ISO8601DateFormatter().string(from: Date()) }

    private static var processor: String {
        let lines = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = lines.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line.flatMap { $0.split(separator: ":").last }.map { $0.trimmingCharacters(in: .whitespaces) }
            ?? "unknown processor"
    }
}
