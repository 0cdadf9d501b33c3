import Foundation
import NIOCore

/// The reason that a server cannot start.
public enum ServerError: Error, CustomStringConvertible, Equatable {
    /// The address cannot be listened on.
    case cannotListen(host: String, port: Int, reason: String)
    /// The limit of open files leaves no connection.
    case noDescriptors(needed: Int)

    /// The reason behind `error`; nil where it has nothing to do with the address.
    init?(_ error: any Error, host: String, port: Int) {
        switch error {
        case let error as IOError:
            self = .cannotListen(host: host, port: port, reason: Self.words(error.errnoCode))
        case is SocketAddressError, is SocketAddressError.UnknownHost:
            self = .cannotListen(host: host, port: port, reason: "the host has no address")
        default: return nil
        }
    }

    /// The system's own words, as they read in the middle of a sentence.
    private static func words(_ code: Int32) -> String {
        let words = unsafe String(cString: strerror(code))
        return words.prefix(1).lowercased() + words.dropFirst()
    }

    /// The sentence for the user.
    public var description: String {
        switch self {
        case .cannotListen(let host, let port, let reason): "cannot listen on \(host):\(port): \(reason)"
        case .noDescriptors(let needed):
            "the limit of open files leaves no connection: more than \(needed) are needed; raise it with 'ulimit -n 4096'"
        }
    }
}
