import Hummingbird
import JSON

extension Response {
    /// Server-sent events: `body` sends JSON values, each a chunk, and an error becomes the last of them. A client that leaves
    /// ends `body`.
    static func events(
        _ connections: Connections, _ context: ServerContext,
        _ body: @escaping @Sendable (_ send: @escaping @Sendable (JSONValue) async throws -> Void) async throws -> Void
    ) -> Response {
        let (record, channel) = (context.record, context.channel)
        record.update { $0.isStream = true }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"],
            body: ResponseBody { writer in
                let (chunks, continuation) = AsyncStream.makeStream(of: JSONValue?.self)
                let gate = ChunkGate(limit: 64)
                let work = Task {
                    defer { continuation.finish() }
                    try await connections.whileOpen(channel) {
                        do {
                            try await body { chunk in
                                await gate.enter()
                                continuation.yield(chunk)
                            }
                            continuation.yield(nil)
                        } catch let error as APIError {
                            record.update { $0.error = error.message }
                            continuation.yield(error.json)
                        }
                    }
                }
                try await withTaskCancellationHandler {
                    defer {
                        work.cancel()
                        gate.open()
                    }
                    for await chunk in chunks {
                        let text = chunk.map { "data: " + String(decoding: $0.compact, as: UTF8.self) } ?? "data: [DONE]"
                        try await writer.write(ByteBuffer(string: text + "\n\n"))
                        gate.leave()
                    }
                    try await work.value
                } onCancel: {
                    work.cancel()
                }
                try await writer.finish(nil)
            })
    }
}
