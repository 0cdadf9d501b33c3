import ArgumentParser
import Checkpoints

/// The process that reads a checkpoint from elsewhere: see ``ForeignCheckpoint``.
struct ReadHDF5Command: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: ForeignCheckpoint.command, shouldDisplay: false)

    @Flag var values = false
    @Argument var path: String

    func run() throws { try ForeignCheckpoint.tell(path, values: values) }
}
