import HTTPTypes
import Inference

/// Runs a request's prompts on the engine and merges their events.
struct GenerationRunner {
    let engine: Engine
    let seconds: Int

    /// Submits a request's prompts; throws ``APIError`` where one is refused, in which case none runs.
    func submit(_ requests: [GenerationRequest]) async throws(APIError) -> [Generation] {
        var generations: [Generation] = []
        do throws(InferenceError) {
            for request in requests { generations.append(try await engine.submit(request)) }
        } catch {
            for generation in generations { await engine.cancel(generation.id) }
            throw APIError(error)
        }
        return generations
    }

    /// Gives `body` the events of submitted prompts, each with the number of its prompt, until the last has finished.
    ///
    /// When `body` returns or throws, whatever still runs is cancelled.
    func run<Value: Sendable>(
        _ running: [Generation], _ body: @escaping @Sendable (AsyncStream<(Int, GenerationEvent)>) async throws -> Value
    ) async throws -> Value {
        let (merged, continuation) = AsyncStream.makeStream(of: (Int, GenerationEvent).self)
        return try await withThrowingTaskGroup(of: Value?.self) { group in
            group.addTask {
                await withTaskGroup(of: Void.self) { readers in
                    for (index, generation) in running.enumerated() {
                        readers.addTask { for await event in generation.events { continuation.yield((index, event)) } }
                    }
                }
                continuation.finish()
                return nil
            }
            group.addTask {
                // An output may not hold its pages for ever.
                try await Task.sleep(for: .seconds(seconds))
                var error = APIError(.gatewayTimeout, "the request took longer than \(seconds) s", type: "timeout_error")
                // It would take as long again.
                if let name = HTTPField.Name("x-should-retry") { error.headers[name] = "false" }
                throw error
            }
            group.addTask { try await body(merged) }
            do {
                while let result = try await group.next() {
                    guard let result else { continue }
                    group.cancelAll()
                    for generation in running { await engine.cancel(generation.id) }
                    return result
                }
            } catch {
                group.cancelAll()
                for generation in running { await engine.cancel(generation.id) }
                throw error
            }
            throw CancellationError()
        }
    }
}
