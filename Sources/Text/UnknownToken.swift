/// The unknown token, and whether adjacent unknown characters are fused into one.
struct UnknownToken: Sendable, Hashable {
    var id: Int32
    var isFused: Bool
}

/// Pending unknown characters: `tokenizers` emits them when a known character follows.
struct UnknownRun {
    private let token: UnknownToken?
    private var isPending = false

    init(_ token: UnknownToken?) {
        self.token = token
    }

    /// Adds an unknown character; without an unknown token it is dropped.
    mutating func add(into symbols: inout [Int32]) {
        if let token, isPending, !token.isFused { symbols.append(token.id) }
        isPending = token != nil
    }

    /// Emits the pending token.
    mutating func flush(into symbols: inout [Int32]) {
        if isPending, let token { symbols.append(token.id) }
        isPending = false
    }
}
