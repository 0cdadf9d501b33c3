import ArgumentParser
import Kernels

/// `kvlab bench`: what the machine and the kernels give.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Measure speed on this machine.",
        subcommands: [BenchTrainCommand.self, BenchEngineCommand.self, BenchServeCommand.self, BenchLoadCommand.self],
        defaultSubcommand: BenchTrainCommand.self)
}

extension ComputePrecision: ExpressibleByArgument {}
