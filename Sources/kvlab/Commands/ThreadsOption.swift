import ArgumentParser
import Threads

/// The threads that a command computes with.
struct ThreadsOption: ParsableArguments {
    @Option(help: "Threads. Default: as many as processors that the process may run on.")
    var threads: Int?

    func validate() throws { try checkRange("--threads", threads, to: 1024) }

    /// Sets the number given, or else `other` where there is one.
    func apply(else other: Int? = nil) {
        if let count = threads ?? other { Parallel.setThreads(count) }
    }
}
