import ArgumentParser
import Foundation
import Kernels
import Training

/// `kvlab bench`: what the machine and the kernels give.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure speed on this machine.", subcommands: [BenchTrainCommand.self],
        defaultSubcommand: BenchTrainCommand.self)
}

/// `kvlab bench train`: whole training steps.
struct BenchTrainCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "train", abstract: "Time whole training steps: forward, backward, clipping and update.")

    @Option(help: "Which shape: \(TrainingBenchmark.shapes.map(\.name).joined(separator: ", ")).")
    var shape = "T1"

    @Option(help: "Timed steps; the median counts.")
    var steps = 5

    @Option(help: "Threads; by default all processors this process may run on.")
    var threads: Int?

    @Flag(help: "One JSON line instead of text.")
    var json = false

    func validate() throws {
        guard TrainingBenchmark.shapes.contains(where: { $0.name == shape }) else {
            throw ValidationError(
                "no shape '\(shape)'; there are \(TrainingBenchmark.shapes.map(\.name).joined(separator: ", "))")
        }
        guard steps >= 1 else { throw ValidationError("--steps is \(steps), expected at least 1") }
        guard threads.map({ $0 >= 1 }) ?? true else { throw ValidationError("--threads must be at least 1") }
    }

    func run() throws {
        if let threads { Parallel.setThreads(threads) }
        guard let shape = TrainingBenchmark.shapes.first(where: { $0.name == shape }) else { return }
        let seconds = try TrainingBenchmark.trainingSteps(shape, steps: steps).sorted()
        let median = seconds[seconds.count / 2]
        let tokens = Double(shape.batch * shape.seq) / median
        let gigaflops = shape.flopsPerStep / median / 1e9
        var usage = rusage()
        unsafe getrusage(Int32(RUSAGE_SELF.rawValue), &usage)
        let measurement = Measurement(
            tool: "kvlab", shape: shape.name, dtype: "fp32", threads: Parallel.threads, tokensPerSecond: tokens,
            stepSeconds: median,
            gflops: gigaflops, peakResidentMiB: Double(usage.ru_maxrss) / 1024, instructionSet: Parallel.instructionSet)
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            print(String(decoding: try encoder.encode(measurement), as: UTF8.self))
        } else {
            print(
                "\(shape.name): \(Int(tokens)) tokens/s, \(Int(median * 1000)) ms a step, \(Int(gigaflops)) GFLOP/s, "
                    + "peak \(Int(measurement.peakResidentMiB)) MiB, \(Parallel.threads) threads, \(Parallel.instructionSet) kernels"
            )
        }
    }

    private struct Measurement: Encodable {
        var tool: String
        var shape: String
        var dtype: String
        var threads: Int
        var tokensPerSecond: Double
        var stepSeconds: Double
        var gflops: Double
        var peakResidentMiB: Double
        var instructionSet: String
    }
}
