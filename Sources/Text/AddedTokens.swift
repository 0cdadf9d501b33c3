/// A token that is looked for in the text itself, before anything else.
struct AddedToken: Sendable, Hashable {
    var id: Int32
    var content: [UInt8]
    /// Whether it is looked for after normalisation.
    var isNormalized: Bool
    var isSpecial: Bool
}

/// Finds added tokens in text: the leftmost, and of those that start there the longest.
struct AddedTokenMatcher: Sendable {
    /// For each first byte the tokens that start with it, the longest first.
    private let candidates: [[(content: [UInt8], id: Int32)]]
    let isEmpty: Bool
    /// Whether some token has white space in it, so that text cannot be cut there without looking.
    let hasWhitespace: Bool

    init(_ tokens: [(content: [UInt8], id: Int32)]) {
        var candidates = [[(content: [UInt8], id: Int32)]](repeating: [], count: 256)
        for token in tokens where !token.content.isEmpty { candidates[Int(token.content[0])].append(token) }
        for byte in 0..<256 { candidates[byte].sort { $0.content.count > $1.content.count } }
        self.candidates = candidates
        isEmpty = tokens.allSatisfy { $0.content.isEmpty }
        hasWhitespace = tokens.contains { $0.content.contains { $0 <= 0x20 } }
    }

    /// The first match that lies in `range`.
    func firstMatch(in text: Span<UInt8>, _ range: Range<Int>) -> (range: Range<Int>, id: Int32)? {
        guard !isEmpty else { return nil }
        for start in range {
            for candidate in candidates[Int(text[start])]
            where start + candidate.content.count <= range.upperBound && Self.matches(text, start, candidate.content) {
                return (start..<start + candidate.content.count, candidate.id)
            }
        }
        return nil
    }

    private static func matches(_ text: Span<UInt8>, _ start: Int, _ content: [UInt8]) -> Bool {
        for offset in 0..<content.count where text[start + offset] != content[offset] { return false }
        return true
    }
}
