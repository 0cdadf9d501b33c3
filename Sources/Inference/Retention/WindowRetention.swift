/// Keeps the slots visible to a layer's sliding window: the tokens just before the next one, and the attention sinks.
///
/// The layer's own mask hides the rest, so slots stay in place and whole pages behind the window are released.
struct WindowRetention: Retention, Hashable {
    let name = "window"
    /// Tokens that the next one sees, itself included.
    var window: Int
    /// First tokens that stay visible beside the window (attention sinks).
    var sinks = 0

    var release: SlotRelease { .pages }

    /// The first token inside the window behind `tokens` tokens; below 0 where the window is not full.
    func first(after tokens: Int) -> Int { tokens - window + 1 }

    /// Whether page `page`, of `size` tokens, holds attention sinks and is never released.
    func isSink(_ page: Int, size: Int) -> Bool { page * size < sinks }

    func nextDecision(after tokens: Int, prompt: Int) -> Int? { tokens + 1 }

    func mostRetained(at tokens: Int, prompt: Int) -> Int { min(tokens, window - 1 + sinks) }

    func retained(_ stream: StreamState) -> RetainedSlots {
        .ranges([0..<min(sinks, stream.tokens), max(0, min(stream.tokens, first(after: stream.tokens)))..<stream.tokens])
    }

    func mostPages(tokens: Int, chunk: Int, slotsPerPage size: Int) -> Int {
        // A chunk sees the window's tokens before it, and itself. It may begin with any token of a page:
        //     pages of 4, 6 tokens seen:   . . . x | x x x x | x . . .
        let seen = window - 1 + min(chunk, tokens)
        let touched = seen > 0 ? (seen - 1 + size - 1) / size + 1 : 0
        return min((tokens + size - 1) / size, touched + (sinks + size - 1) / size)
    }
}
