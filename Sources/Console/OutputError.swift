import Glibc

/// Why a result could not be written to standard output.
public enum OutputError: Error, CustomStringConvertible, Equatable {
    /// A write failed with the operating system's error number.
    case unwritable(errno: Int32)

    /// Whether the reader of the pipe has closed it, which needs neither the rest nor an explanation.
    public var readerIsGone: Bool { self == .unwritable(errno: EPIPE) }

    /// The sentence for the user.
    public var description: String {
        switch self {
        case .unwritable(let code): unsafe "standard output could not be written: \(String(cString: strerror(code)))"
        }
    }
}
