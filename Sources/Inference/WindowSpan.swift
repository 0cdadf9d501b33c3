/// What the next token of a sequence sees in a layer with a window: the tokens just before it, and the first ones.
struct WindowSpan: Sendable, Hashable {
    /// Tokens the next one sees, itself included.
    var window: Int
    /// First tokens it sees beside these (attention sinks).
    var sinks = 0

    /// The first token seen but for the sinks, or less, behind `tokens` ones.
    func first(after tokens: Int) -> Int { tokens - window + 1 }

    /// Whether page number `page`, of `size` tokens, has sinks: it is seen for good.
    func isSink(_ page: Int, size: Int) -> Bool { page * size < sinks }

    /// Whether anything in page number `page`, of `size` tokens, is seen by a token after the first `tokens`.
    func keeps(_ page: Int, size: Int, after tokens: Int) -> Bool {
        (page + 1) * size > first(after: tokens) || isSink(page, size: size)
    }
}
