import Foundation
import Testing

/// A connection that sends just the bytes it is told to, as no well-behaved client would.
public final class RawClient {
    private let descriptor: Int32

    /// Connects to a port of this machine; `receiving` bounds what the system takes in unread.
    public init(_ port: Int, receiving bytes: Int32? = nil) throws {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        if var bytes { setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, 4) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7f00_0001).bigEndian
        let status = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(status == 0)
    }

    deinit { close(descriptor) }

    /// Closes at once with a reset, as a process that is killed or a network that breaks does.
    public func reset() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        shutdown(descriptor, Int32(SHUT_RDWR))
    }

    /// Sends all of `bytes`, however long the other side takes, unless it closes.
    public func sendAll(_ bytes: some Collection<UInt8>) {
        let bytes = Array(bytes)
        var sent = 0
        while sent < bytes.count {
            let count = bytes.withUnsafeBytes {
                Glibc.send(descriptor, $0.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count > 0 else { return }
            sent += count
        }
    }

    /// Reads on this thread until `done` or the end, at most `seconds` without a byte; says whether the end came.
    public func readBlocking(seconds: Double, until done: ([UInt8]) -> Bool = { _ in false }) -> (bytes: [UInt8], ended: Bool) {
        var time = timeval(tv_sec: Int(seconds), tv_usec: Int((seconds - seconds.rounded(.down)) * 1e6))
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while !done(bytes) {
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            if count < 0, errno == EAGAIN { return (bytes, false) }
            guard count > 0 else { return (bytes, true) }
            bytes += buffer.prefix(count)
        }
        return (bytes, false)
    }

    /// A whole request on a connection of its own, with a JSON body where there is one.
    public static func request(_ method: String, _ path: String, key: String = "", body: String = "") -> String {
        let access = key.isEmpty ? "" : "Authorization: Bearer \(key)\r\n"
        return "\(method) \(path) HTTP/1.1\r\nHost: localhost\r\n\(access)Content-Type: application/json\r\n"
            + "Connection: close\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)"
    }

    public func send(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// A whole request with a JSON body.
    public func post(_ path: String, _ body: String, headers: String = "", version: String = "1.1") {
        let type = "Content-Type: application/json\r\n"
        send(
            "POST \(path) HTTP/\(version)\r\nHost: localhost\r\n\(type)\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
        )
    }

    /// Ends what is sent, not what is received.
    public func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Reads until `done` or the end, for some seconds; says whether the end came.
    public func read(seconds: Double = 300, until done: (String) -> Bool = { _ in false }) async throws -> (
        text: String, ended: Bool
    ) {
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let end = ContinuousClock.now + .seconds(seconds)
        while ContinuousClock.now < end {
            let count = recv(descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
            if count > 0 {
                bytes += buffer.prefix(count)
            } else if count == 0 || errno != EAGAIN {
                return (String(decoding: bytes, as: UTF8.self), true)
            } else if done(String(decoding: bytes, as: UTF8.self)) {
                break
            } else {
                try await Task.sleep(for: .milliseconds(5))
            }
        }
        return (String(decoding: bytes, as: UTF8.self), false)
    }
}
