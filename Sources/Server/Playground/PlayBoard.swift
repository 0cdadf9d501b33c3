import Inference
import JSON
import Threads

/// The outputs of a playground's request as they gather between two frames.
///
/// The engine's events come in as they happen; a frame takes out the changes since the last one. So a client that reads slowly
/// gets fewer, longer pieces, and holds up no other.
final class PlayBoard: Sendable {
    private struct Output {
        /// Text that no frame has taken yet.
        var text = ""
        var tokens = 0
        var first: ContinuousClock.Instant?
        var last: ContinuousClock.Instant?
        var reason: FinishReason?
        var hasChanged = false
    }

    private struct State {
        var outputs: [[Output]]
        var error: APIError?
        var isOver = false
    }

    private let state: Lock<State>
    /// Bytes of cache that a model's output has taken after so many of its tokens, by its place in the request.
    private let cacheBytes: @Sendable (Int, Int) -> Int

    /// A board for as many outputs of each model as `counts` says.
    init(counts: [Int], cacheBytes: @escaping @Sendable (_ model: Int, _ tokens: Int) -> Int) {
        state = Lock(State(outputs: counts.map { [Output](repeating: Output(), count: $0) }))
        self.cacheBytes = cacheBytes
    }

    /// Adds an event of the model at a place in the request.
    func take(_ model: Int, _ event: GenerationEvent) {
        let now = ContinuousClock.now
        state.withLock { state in
            func change(_ index: Int, _ text: String, _ body: (inout Output) -> Void) {
                state.outputs[model][index].text += text
                state.outputs[model][index].hasChanged = true
                body(&state.outputs[model][index])
            }
            switch event {
            case .prompt: break
            case .token(let index, _, let text):
                change(index, text) { output in
                    output.tokens += 1
                    output.first = output.first ?? now
                    output.last = now
                }
            case .finished(let index, let reason, let text): change(index, text) { $0.reason = reason }
            }
        }
    }

    /// Marks the outputs as complete, with the error that ended them, if any.
    func end(_ error: APIError? = nil) {
        state.withLock { state in
            if !state.isOver { state.error = error }
            state.isOver = true
        }
    }

    /// The content of a frame.
    struct Frame {
        /// Each output that has changed.
        var outputs: [JSONValue]
        /// Whether it is the last, and the error that made it so.
        var isLast: Bool
        var error: APIError?
    }

    /// The changes since the last frame.
    func takeFrame() -> Frame {
        state.withLock { state in
            var changed: [JSONValue] = []
            for model in state.outputs.indices {
                for index in state.outputs[model].indices where state.outputs[model][index].hasChanged {
                    let output = state.outputs[model][index]
                    let seconds = output.first.flatMap { first in output.last.map { ($0 - first) / .seconds(1) } } ?? 0
                    changed.append(
                        .object([
                            "model": .int(model), "output": .int(index), "tokens": .int(output.tokens),
                            "seconds": .float(Float(seconds)), "cache_bytes": .int(cacheBytes(model, output.tokens)),
                            "text": .text(output.text), "finish_reason": output.reason.map { .text($0.rawValue) } ?? .null,
                        ]))
                    state.outputs[model][index].text = ""
                    state.outputs[model][index].hasChanged = false
                }
            }
            return Frame(outputs: changed, isLast: state.isOver, error: state.error)
        }
    }
}
