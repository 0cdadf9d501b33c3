import Foundation
import Testing

/// A connection that sends just the bytes it is told to, as no well-behaved client would.
final class RawClient {
    private let descriptor: Int32

    /// Connects to a port of this machine; `receiving` bounds what the system takes in unread.
    init(_ port: Int, receiving bytes: Int32? = nil) throws {
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

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        _ = Glibc.send(descriptor, bytes, bytes.count, Int32(MSG_NOSIGNAL))
    }

    /// A whole request with a JSON body.
    func post(_ path: String, _ body: String, headers: String = "", version: String = "1.1") {
        send("POST \(path) HTTP/\(version)\r\nHost: localhost\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }

    /// Ends what is sent, not what is received.
    func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// Reads until `done` or the end, for some seconds; says whether the end came.
    func read(seconds: Double = 300, until done: (String) -> Bool = { _ in false }) async throws -> (text: String, ended: Bool) {
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
