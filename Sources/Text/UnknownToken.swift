/// The token for what the vocabulary lacks, and whether neighbours of that kind become one.
struct UnknownToken: Sendable, Hashable {
    var id: Int32
    var isFused: Bool
}

/// Unknown characters met and not yet written: `tokenizers` writes them when a known one follows.
struct UnknownRun {
    private let token: UnknownToken?
    private var isPending = false

    init(_ token: UnknownToken?) {
        self.token = token
    }

    /// Notes an unknown character; without an unknown token it is dropped.
    mutating func add(into symbols: inout [Int32]) {
        if let token, isPending, !token.isFused { symbols.append(token.id) }
        isPending = token != nil
    }

    /// Writes what is pending.
    mutating func flush(into symbols: inout [Int32]) {
        if isPending, let token { symbols.append(token.id) }
        isPending = false
    }
}
