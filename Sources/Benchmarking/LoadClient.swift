import JSON
import NIOCore
import NIOPosix

/// A client that sends one streaming completion over a connection of its own and times its tokens.
struct LoadClient: Sendable {
    let host: String
    let port: Int
    let apiKey: String?

    /// Seconds since the request was sent.
    struct Sample: Sendable {
        var status = 0
        var firstToken: Double?
        var lastToken: Double?
        var tokens = 0
    }

    func complete(_ body: JSONValue) async throws -> Sample {
        let bytes = body.compact
        let began = ContinuousClock.now
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: host, port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try NIOAsyncChannel<ByteBuffer, ByteBuffer>(wrappingChannelSynchronously: channel)
                }
            }
        // Plain HTTP/1.1: lines between the events, such as the sizes of chunks, are passed over.
        var head = "POST /v1/completions HTTP/1.1\r\nHost: \(host):\(port)\r\nContent-Type: application/json\r\n"
        head += "Content-Length: \(bytes.count)\r\nConnection: close\r\n"
        if let apiKey { head += "Authorization: Bearer \(apiKey)\r\n" }
        let request = ByteBuffer(bytes: Array((head + "\r\n").utf8) + bytes)
        return try await channel.executeThenClose { inbound, outbound in
            try await outbound.write(request)
            var sample = Sample()
            var rest: [UInt8] = []
            reading: for try await buffer in inbound {
                rest += buffer.readableBytesView
                var start = rest.startIndex
                while let end = rest[start...].firstIndex(of: UInt8(ascii: "\n")) {
                    let line = rest[start..<end]
                    start = end + 1
                    if sample.status == 0 {
                        // HTTP/1.1 200 OK
                        sample.status = Int(String(decoding: line.dropFirst(9).prefix(3), as: UTF8.self)) ?? -1
                    } else if line.starts(with: Self.done) {
                        break reading
                    } else if let count = Self.count(line) {
                        // A chunk may hold several tokens whose text was held back: the server's own count is right.
                        sample.tokens = count
                    } else if line.starts(with: Self.event), Self.place(of: "\"finish_reason\":null", in: line) != nil {
                        // A token's chunk has no reason to end yet.
                        let now = (ContinuousClock.now - began) / .seconds(1)
                        sample.firstToken = sample.firstToken ?? now
                        sample.lastToken = now
                        sample.tokens += 1
                    }
                }
                rest.removeSubrange(..<start)
            }
            return sample
        }
    }

    private static let event = Array("data: {".utf8)
    private static let done = Array("data: [DONE]".utf8)

    /// The tokens generated, where a chunk tells.
    private static func count(_ line: ArraySlice<UInt8>) -> Int? {
        guard let end = place(of: "\"completion_tokens\":", in: line) else { return nil }
        return Int(String(decoding: line[end...].prefix { (48...57).contains($0) }, as: UTF8.self))
    }

    /// Index behind the first `text` in `bytes`, nil without one.
    private static func place(of text: String, in bytes: ArraySlice<UInt8>) -> Int? {
        let wanted = Array(text.utf8)
        guard bytes.count >= wanted.count else { return nil }
        return (bytes.startIndex...bytes.endIndex - wanted.count)
            .first { bytes[$0..<$0 + wanted.count].elementsEqual(wanted) }.map { $0 + wanted.count }
    }
}
