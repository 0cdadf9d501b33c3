import ArgumentParser
import Checkpoints

/// The child process that lists a checkpoint, started by ``Main`` before anything else: see ``ListingProcess``.
struct ReadHDF5Command: ParsableCommand {
    static let configuration = CommandConfiguration(commandName: "kvlab " + ListingProcess.command)

    @Flag(help: "Say what the process could still do, in place of listing standard input.")
    var check = false

    func run() throws {
        if check {
            try print(ListingProcess.report())
        } else {
            try ListingProcess.tell()
        }
    }
}
