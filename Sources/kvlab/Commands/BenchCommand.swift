import ArgumentParser
import Kernels

/// `kvlab bench`: benchmarks of the machine and the kernels.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure speed on this machine.",
        subcommands: [BenchTrainCommand.self, BenchEngineCommand.self, BenchServeCommand.self, BenchLoadCommand.self],
        defaultSubcommand: BenchTrainCommand.self)
}

extension ComputePrecision: ExpressibleByArgument {}
