import ArgumentParser
import Autograd
import Benchmarking
import Foundation
import Kernels
import Models
import Threads

/// `kvlab bench train`: training steps, forward passes and their kernels.
struct BenchTrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Time training steps, forward passes and their kernels.",
        discussion: """
            A step is forward, backward, clipping and update. Shares are of the matrix product's peak and of the memory's read bandwidth, \
            both measured first, on the same threads.
            """)

    @Option(help: "Which shape: \(TrainingBenchmark.shapes.map(\.name).joined(separator: ", ")).")
    var shape = "T1"

    @Option(help: "What the matrix products are multiplied in: fp32 or bf16.")
    var dtype = ComputePrecision.fp32

    @Option(help: "What the backward pass recomputes: none, or block (less memory, a third more work).")
    var recompute = Recompute.none

    @Option(help: "Timed steps; the median counts.")
    var steps = 5

    @OptionGroup var threads: ThreadsOption

    @Flag(help: "Time whole steps alone, not forward passes and kernels.")
    var stepOnly = false

    @Flag(help: "Print the share of a step's time each op takes, instead of timing kernels apart.")
    var profile = false

    @OptionGroup var results: JSONOptions

    func validate() throws {
        guard TrainingBenchmark.shapes.contains(where: { $0.name == shape }) else {
            throw ValidationError(
                "no shape '\(shape)'; there are \(TrainingBenchmark.shapes.map(\.name).joined(separator: ", "))")
        }
        try checkRange("--steps", steps)
    }

    func run() throws {
        threads.apply()
        guard let shape = TrainingBenchmark.shapes.first(where: { $0.name == shape }) else { return }
        let compute = ComputeOptions(precision: dtype, recompute: recompute)
        let peak = PeakMeasurement.gemmFlopsPerSecond(dtype)
        let bandwidth = MemoryBandwidth(bytes: 128 << 20).measure()
        // The memory of the bandwidth measurement is not counted.
        StoragePool.shared.trim()
        StoragePool.shared.resetPeak()
        let (seconds, ops) = try TrainingBenchmark.trainingSteps(shape, compute, steps: steps, profile: profile)
        // Read before the further measurements add to it.
        let resident = Self.peakResidentMiB()
        let tensors = Double(StoragePool.shared.statistics.peakBytesInUse) / 1_048_576
        let extra = !stepOnly && !profile
        let forward = extra ? median(try TrainingBenchmark.forwardPasses(shape, compute, passes: steps)) : nil
        let kernels = extra ? KernelBenchmark.run(shape, dtype, repeats: steps) : nil
        let step = median(seconds)
        let tokens = Double(shape.batch * shape.seq)
        let report = Report(
            tool: "kvlab", shape: shape.name, dtype: dtype.rawValue, recompute: recompute.rawValue, threads: Parallel.threads,
            tokensPerSecond: tokens / step, stepSeconds: step, gflops: shape.flopsPerStep / step / 1e9,
            peakShare: shape.flopsPerStep / step / peak, forwardTokensPerSecond: forward.map { tokens / $0 },
            peakResidentMiB: resident, peakTensorMiB: tensors, instructionSet: VectorKernels.instructionSet,
            gemmPeakGflops: peak / 1e9,
            readGigabytesPerSecond: bandwidth / 1e9, kernels: kernels,
            profile: profile
                ? ops.map { .init(op: $0.name, share: $0.seconds / seconds.reduce(0, +), calls: $0.calls / steps) } : nil)
        if results.isJSON {
            try results.print(report)
        } else {
            try show(shape, report, forward: forward)
        }
    }

    private func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

    /// The process's peak resident memory, far above that of measuring the peaks.
    private static func peakResidentMiB() -> Double {
        var usage = rusage()
        unsafe getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_maxrss) / 1024
    }

    private func show(_ shape: TrainingBenchmark.Shape, _ report: Report, forward: Double?) throws {
        func percent(_ share: Double) -> String { String(format: "%3.0f %%", 100 * share) }
        func line(_ name: String, _ rest: String) throws {
            try print(name.padding(toLength: 42, withPad: " ", startingAt: 0) + rest)
        }
        try line(
            "\(report.shape), \(report.dtype), \(report.threads) threads",
            String(format: "%.0f GFLOP/s GEMM peak, %.1f GB/s read", report.gemmPeakGflops, report.readGigabytesPerSecond)
                + ", \(report.instructionSet) kernels")
        try line(
            "training step",
            String(
                format: "%8.0f tokens/s %9.2f ms %6.0f GFLOP/s ", report.tokensPerSecond, report.stepSeconds * 1e3, report.gflops)
                + percent(report.peakShare)
                + String(format: " of peak, %.0f MiB resident, %.0f in tensors", report.peakResidentMiB, report.peakTensorMiB))
        if let forward {
            let rate = shape.flopsPerForward / forward
            try line(
                "forward pass",
                String(
                    format: "%8.0f tokens/s %9.2f ms %6.0f GFLOP/s ", report.forwardTokensPerSecond ?? 0, forward * 1e3,
                    rate / 1e9)
                    + percent(rate / report.gemmPeakGflops / 1e9) + " of peak")
        }
        for kernel in report.kernels ?? [] {
            try line(
                "  " + kernel.name,
                String(repeating: " ", count: 18) + String(format: "%9.3f ms", kernel.seconds * 1e3)
                    + (kernel.flops > 0
                        ? String(format: " %6.0f GFLOP/s ", kernel.flops / kernel.seconds / 1e9)
                            + percent(kernel.flops / kernel.seconds / report.gemmPeakGflops / 1e9) + " of peak,"
                        : String(repeating: " ", count: 30))
                    + String(format: " %5.1f GB/s ", kernel.bytes / kernel.seconds / 1e9)
                    + percent(kernel.bytes / kernel.seconds / report.readGigabytesPerSecond / 1e9) + " of read bandwidth")
        }
        for share in report.profile ?? [] {
            try line("  " + share.op, String(format: "%6.2f %%", 100 * share.share) + "  \(share.calls) a step")
        }
    }

    private struct Report: Encodable {
        var tool: String
        var shape: String
        var dtype: String
        var recompute: String
        var threads: Int
        var tokensPerSecond: Double
        var stepSeconds: Double
        var gflops: Double
        var peakShare: Double
        var forwardTokensPerSecond: Double?
        var peakResidentMiB: Double
        var peakTensorMiB: Double
        var instructionSet: String
        var gemmPeakGflops: Double
        var readGigabytesPerSecond: Double
        var kernels: [KernelBenchmark.Measurement]?
        var profile: [Share]?

        struct Share: Encodable {
            var op: String
            var share: Double
            var calls: Int
        }
    }
}

extension Recompute: ExpressibleByArgument {}
