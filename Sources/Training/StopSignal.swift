import Dispatch
import Glibc
import Synchronization

/// Turns SIGINT and SIGTERM into a request to stop after the current step; a second SIGINT ends the process at once.
public final class StopSignal: @unchecked Sendable {
    // Sendable: `sources` is written only in init, before the object is shared.

    private let received = Mutex<Int32?>(nil)
    private var sources: [any DispatchSourceSignal] = []

    /// Starts listening; the default handling is restored when the object is released.
    public init(_ numbers: [Int32] = [SIGINT, SIGTERM]) {
        for number in numbers {
            signal(number, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: number, queue: .global())
            source.setEventHandler { [weak self] in
                guard let self else { return }
                let again = self.received.withLock { received in
                    defer { received = number }
                    return received != nil
                }
                if again { _exit(128 + number) }
            }
            source.resume()
            sources.append(source)
        }
    }

    deinit {
        for source in sources {
            source.cancel()
            signal(Int32(source.handle), SIG_DFL)
        }
    }

    /// The signal received, or nil.
    public var number: Int32? { received.withLock { $0 } }
}
