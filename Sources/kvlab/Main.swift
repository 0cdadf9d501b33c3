import Checkpoints
import Dispatch
import Foundation

/// Where the program begins.
@main
enum Main {
    static func main() {
        let arguments = CommandLine.arguments.dropFirst()
        // The process that lists a checkpoint confines itself, which takes that it has no other thread: not those of a task either.
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
