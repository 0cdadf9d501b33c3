import Checkpoints
import Dispatch
import Foundation

/// The entry point of the program.
@main
enum Main {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        // The process that lists a checkpoint confines itself, which requires a single thread: not even a task's may be running.
        if arguments.first == ListingProcess.command {
            ReadHDF5Command.main(Array(arguments.dropFirst()))
            exit(0)
        }
        Task {
            await Kvlab.main()
            exit(0)
        }
        dispatchMain()
    }
}
