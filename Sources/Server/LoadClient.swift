import JSON
import NIOCore
import NIOHTTP1
import NIOPosix

/// Sends one streaming completion over a connection of its own and notes when its tokens come.
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
        let start = ContinuousClock.now
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .connect(host: host, port: port) { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHTTPClientHandlers()
                    return try NIOAsyncChannel<HTTPClientResponsePart, HTTPPart<HTTPRequestHead, ByteBuffer>>(
                        wrappingChannelSynchronously: channel)
                }
            }
        return try await channel.executeThenClose { inbound, outbound in
            var head = HTTPRequestHead(version: .http1_1, method: .POST, uri: "/v1/completions")
            head.headers.add(name: "Host", value: "\(host):\(port)")
            head.headers.add(name: "Content-Type", value: "application/json")
            head.headers.add(name: "Content-Length", value: "\(bytes.count)")
            if let apiKey { head.headers.add(name: "Authorization", value: "Bearer \(apiKey)") }
            try await outbound.write(.head(head))
            try await outbound.write(.body(ByteBuffer(bytes: bytes)))
            try await outbound.write(.end(nil))
            var sample = Sample()
            var rest: [UInt8] = []
            reading: for try await part in inbound {
                switch part {
                case .head(let head): sample.status = Int(head.status.code)
                case .body(let buffer):
                    rest += buffer.readableBytesView
                    while let end = rest.firstIndex(of: UInt8(ascii: "\n")) {
                        let line = rest[..<end]
                        // A token's chunk has no reason to end yet.
                        if line.starts(with: Array("data: {".utf8)), Self.contains(line, "\"finish_reason\":null") {
                            let now = (ContinuousClock.now - start) / .seconds(1)
                            sample.firstToken = sample.firstToken ?? now
                            sample.lastToken = now
                            sample.tokens += 1
                        }
                        rest.removeSubrange(...end)
                    }
                case .end: break reading
                }
            }
            return sample
        }
    }

    private static func contains(_ bytes: ArraySlice<UInt8>, _ text: String) -> Bool {
        let wanted = Array(text.utf8)
        guard bytes.count >= wanted.count else { return false }
        return (bytes.startIndex...bytes.endIndex - wanted.count).contains { bytes[$0..<$0 + wanted.count].elementsEqual(wanted) }
    }
}
