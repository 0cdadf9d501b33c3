import HTTPTypes
import Inference
import NIOCore

/// Runs a request's prompts on the engine and merges their events.
struct GenerationRunner {
    /// The events of a request's prompts, each with the number of its prompt.
    typealias Events = AsyncThrowingStream<(Int, GenerationEvent), any Error>

    let engine: Engine
    let connections: Connections
    let seconds: Int

    /// Submits a request's prompts; throws ``APIError`` where one is refused, in which case none runs.
    func submit(_ requests: [GenerationRequest]) async throws(APIError) -> [Generation] {
        var generations: [Generation] = []
        do throws(InferenceError) {
            for request in requests { generations.append(try await engine.submit(request)) }
        } catch {
            await cancel(generations)
            throw APIError(error)
        }
        return generations
    }

    /// Gives `body` the events of submitted prompts until the last has finished, the request has taken too long or its client has
    /// left by `channel`; the latter two are thrown to `body`.
    ///
    /// When `body` returns or throws, whatever still runs is cancelled.
    func run<Value: Sendable>(
        _ running: [Generation], for channel: any Channel, _ body: (Events) async throws -> Value
    ) async throws -> Value {
        let (events, continuation) = Events.makeStream()
        let watch = connections.onClose(of: channel) { continuation.finish(throwing: CancellationError()) }
        defer { connections.forget(watch, of: channel) }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                await withTaskGroup(of: Void.self) { readers in
                    for (index, generation) in running.enumerated() {
                        readers.addTask { for await event in generation.events { continuation.yield((index, event)) } }
                    }
                }
                continuation.finish()
            }
            group.addTask {
                // An output may not hold its pages for ever.
                try await Task.sleep(for: .seconds(seconds))
                var error = APIError(.gatewayTimeout, "the request took longer than \(seconds) s", type: "timeout_error")
                // It would take as long again.
                if let name = HTTPField.Name("x-should-retry") { error.headers[name] = "false" }
                continuation.finish(throwing: error)
                await cancel(running)
            }
            let result: Result<Value, any Error>
            do { result = .success(try await body(events)) } catch { result = .failure(error) }
            group.cancelAll()
            await cancel(running)
            return try result.get()
        }
    }

    private func cancel(_ running: [Generation]) async {
        for generation in running { await engine.cancel(generation.id) }
    }
}
