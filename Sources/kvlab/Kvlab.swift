import ArgumentParser
import Console
import Glibc

/// The command-line tool: one file per command, listed in pipeline order.
struct Kvlab: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "kvlab",
        abstract: "Train, convert, uptrain, measure and serve KV-cache architectures.",
        version: "0.1.0",
        subcommands: [
            TokenizerCommand.self, TextCommand.self, ImportCommand.self, TrainCommand.self, ConvertCommand.self, EvalCommand.self,
            CompareCommand.self, LabCommand.self, RunsCommand.self,
            GenerateCommand.self, ServeCommand.self, HeadsCommand.self, VerifyCommand.self, CapacityCommand.self,
            ExportCommand.self,
            InspectCommand.self,
            EstimateCommand.self, AdviseCommand.self, CodecsCommand.self, BenchCommand.self, HelpCommand.self,
        ])

    static func main() async {
        StandardStreams.prepare()
        let status = await status()
        // A reader that has stopped reading is not waited for any longer.
        StandardError.flush(within: 1)
        Glibc.exit(status)
    }

    /// Runs the command and returns the process's exit status.
    private static func status() async -> Int32 {
        do {
            try RawArguments.check()
            var command = try await asyncParseAsRoot()
            if var command = command as? any AsyncParsableCommand {
                try await command.run()
            } else {
                try command.run()
            }
            try StandardOutput.finish()
            return 0
        } catch {
            return told(error)
        }
    }

    /// Reports the error that ended the command, or prints the requested help; returns the exit status.
    private static func told(_ error: any Error) -> Int32 {
        if let error = error as? OutputError, error.readerIsGone {
            // The status of a program that SIGPIPE ended, without a message.
            return 128 + SIGPIPE
        }
        let status = exitCode(for: error)
        let text = fullMessage(for: error)
        guard status.isSuccess else {
            if !text.isEmpty { StandardError.line(text) }
            return status.rawValue
        }
        do throws(OutputError) {
            if !text.isEmpty { try StandardOutput.write(text + "\n") }
            try StandardOutput.finish()
        } catch {
            return told(error)
        }
        return status.rawValue
    }
}
