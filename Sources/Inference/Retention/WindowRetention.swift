/// Keeps what the next token of a layer with a sliding window sees: the tokens just before it, and the first ones.
///
/// The layer's own mask hides the rest, so that slots stay in place and whole pages behind the window are released.
struct WindowRetention: Retention, Hashable {
    let name = "window"
    /// Tokens the next one sees, itself included.
    var window: Int
    /// First tokens it sees beside these (attention sinks).
    var sinks = 0

    var release: SlotRelease { .pages }

    /// The first token seen but for the sinks, or less, behind `tokens` ones.
    func first(after tokens: Int) -> Int { tokens - window + 1 }

    /// Whether page number `page`, of `size` tokens, has sinks: it is seen for good.
    func isSink(_ page: Int, size: Int) -> Bool { page * size < sinks }

    func nextDecision(after tokens: Int, prompt: Int) -> Int? { tokens + 1 }

    func mostRetained(at tokens: Int) -> Int { min(tokens, window - 1 + sinks) }

    func retained(_ stream: StreamState) -> RetainedSlots {
        .ranges([0..<min(sinks, stream.tokens), max(0, min(stream.tokens, first(after: stream.tokens)))..<stream.tokens])
    }

    func mostPages(tokens: Int, chunk: Int, slotsPerPage size: Int) -> Int {
        // What a chunk sees: the window's tokens before it, and itself. It may begin with any token of a page:
        //     pages of 4, 6 tokens seen:   . . . x | x x x x | x . . .
        let seen = window - 1 + min(chunk, tokens)
        let touched = seen > 0 ? (seen - 1 + size - 1) / size + 1 : 0
        return min((tokens + size - 1) / size, touched + (sinks + size - 1) / size)
    }
}
