import Hummingbird
import Inference
import JSON

extension ServerState {
    /// The answer of server-sent events to submitted prompts: `body` reads the prompts' events and sends JSON values, each a chunk,
    /// made when the one before is written. An error becomes the last of them.
    func events(
        of running: [Generation], _ context: ServerContext,
        _ body: @escaping @Sendable (GenerationRunner.Events, _ send: (JSONValue) async throws -> Void) async throws -> Void
    ) -> Response {
        context.record.update { $0.isStream = true }
        return Response(
            status: .ok, headers: [.contentType: "text/event-stream; charset=utf-8", .cacheControl: "no-cache"],
            body: ResponseBody { [runner] writer in
                do {
                    try await runner.run(running, for: context.channel) { events in
                        try await body(events) { try await writer.send($0) }
                    }
                    try await writer.send("[DONE]")
                } catch let error as APIError {
                    context.record.update { $0.error = error.message }
                    try await writer.send(error.json)
                }
                try await writer.finish(nil)
            })
    }
}

extension ResponseBodyWriter {
    /// Writes a server-sent event.
    mutating func send(_ text: String) async throws { try await write(ByteBuffer(string: "data: \(text)\n\n")) }

    /// Writes a JSON value as a server-sent event.
    mutating func send(_ value: JSONValue) async throws { try await send(String(decoding: value.compact, as: UTF8.self)) }
}
