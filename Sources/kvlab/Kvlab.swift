import ArgumentParser

/// The tool: one file a command, listed in pipeline order.
@main
struct Kvlab: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kvlab",
        abstract: "Train, convert, uptrain, measure and serve KV-cache architectures.",
        version: "0.1.0",
        subcommands: [
            TokenizerCommand.self, ImportCommand.self, TrainCommand.self, ConvertCommand.self, EvalCommand.self,
            CompareCommand.self, LabCommand.self, RunsCommand.self,
            GenerateCommand.self, ServeCommand.self, VerifyCommand.self, CapacityCommand.self, ExportCommand.self,
            InspectCommand.self,
            EstimateCommand.self, BenchCommand.self, ReadHDF5Command.self,
        ])
}
