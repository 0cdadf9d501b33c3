/// An added token: matched in the text itself, before tokenization.
struct AddedToken: Sendable, Hashable {
    var id: Int32
    var content: [UInt8]
    /// Whether it is matched after normalisation.
    var isNormalized: Bool
    var isSpecial: Bool
    /// Whether it matches only without a letter, digit or underscore beside it.
    var isSingleWord = false
    /// Whether a match includes the white space before it.
    var stripsLeft = false
    /// Whether a match includes the white space after it.
    var stripsRight = false

    /// The content as it is matched and decoded: normalised where the match is in normalised text.
    func content(_ normalizers: [Normalizer]) -> [UInt8] {
        isNormalized ? normalizers.reduce(content) { $1.apply($0) } : content
    }
}

/// Matches added tokens in text: leftmost first, the longest of those that start there.
struct AddedTokenMatcher: Sendable {
    /// Tokens by their first byte, longest first.
    private let candidates: [[AddedToken]]
    private let isFirstByte: [Bool]
    let isEmpty: Bool
    /// Whether a match may cross a space, so that text cannot be cut there without matching first.
    let mayCrossSpace: Bool

    init(_ tokens: [AddedToken]) {
        var candidates = [[AddedToken]](repeating: [], count: 256)
        for token in tokens where !token.content.isEmpty { candidates[Int(token.content[0])].append(token) }
        for byte in 0..<256 { candidates[byte].sort { $0.content.count > $1.content.count } }
        self.candidates = candidates
        isFirstByte = candidates.map { !$0.isEmpty }
        isEmpty = tokens.allSatisfy { $0.content.isEmpty }
        mayCrossSpace = tokens.contains { $0.stripsRight || $0.content.contains { $0 <= 0x20 } }
    }

    /// A matcher of `contents`, byte for byte.
    init(exact contents: [[UInt8]]) {
        self.init(contents.map { AddedToken(id: 0, content: $0, isNormalized: false, isSpecial: true) })
    }

    /// Calls `plain` with the non-empty ranges between tokens, and `token` with each token's id, in order.
    func split(_ text: Span<UInt8>, _ range: Range<Int>, plain: (Range<Int>) -> Void, token: (Int32) -> Void) {
        var done = range.lowerBound
        var index = range.lowerBound
        while !isEmpty, index < range.upperBound {
            guard isFirstByte[Int(text[index])], let match = match(text, range, at: index) else {
                index += 1
                continue
            }
            var end = index + match.content.count
            var start = index
            index = end
            if match.isSingleWord, Self.isWord(text, range, before: start) || Self.isWord(text, range, after: end) { continue }
            if match.stripsLeft { start = max(done, Self.spaceStart(text, range, before: start)) }
            if match.stripsRight { end = Self.spaceEnd(text, range, after: end) }
            if start > done { plain(done..<start) }
            token(match.id)
            done = max(done, end)
        }
        if done < range.upperBound { plain(done..<range.upperBound) }
    }

    /// The longest token that matches at `start`.
    private func match(_ text: Span<UInt8>, _ range: Range<Int>, at start: Int) -> AddedToken? {
        for candidate in candidates[Int(text[start])]
        where start + candidate.content.count <= range.upperBound && Self.matches(text, start, candidate.content) {
            return candidate
        }
        return nil
    }

    private static func matches(_ text: Span<UInt8>, _ start: Int, _ content: [UInt8]) -> Bool {
        for offset in 0..<content.count where text[start + offset] != content[offset] { return false }
        return true
    }

    private static func isWord(_ text: Span<UInt8>, _ range: Range<Int>, after index: Int) -> Bool {
        index < range.upperBound && isWord(UTF8Scalar.decode(text, at: index).scalar)
    }

    private static func isWord(_ text: Span<UInt8>, _ range: Range<Int>, before index: Int) -> Bool {
        guard index > range.lowerBound else { return false }
        return isWord(UTF8Scalar.decode(text, at: start(text, of: index - 1)).scalar)
    }

    private static func isWord(_ scalar: UInt32) -> Bool {
        scalar == 0x5f || [ScalarClass.letter, ScalarClass.number, ScalarClass.mark].contains(ScalarClass.of(scalar))
    }

    /// The first byte of the character that contains `index`.
    private static func start(_ text: Span<UInt8>, of index: Int) -> Int {
        var index = index
        while text[index] & 0xc0 == 0x80 { index -= 1 }
        return index
    }

    private static func spaceStart(_ text: Span<UInt8>, _ range: Range<Int>, before index: Int) -> Int {
        var index = index
        while index > range.lowerBound {
            let start = start(text, of: index - 1)
            guard ScalarClass.of(UTF8Scalar.decode(text, at: start).scalar) == ScalarClass.space else { break }
            index = start
        }
        return index
    }

    private static func spaceEnd(_ text: Span<UInt8>, _ range: Range<Int>, after index: Int) -> Int {
        var index = index
        while index < range.upperBound {
            let (scalar, length) = UTF8Scalar.decode(text, at: index)
            guard ScalarClass.of(scalar) == ScalarClass.space else { break }
            index += length
        }
        return index
    }
}

/// Both matching passes for added tokens: before and after normalisation.
struct AddedTokens: Sendable {
    private let raw: AddedTokenMatcher
    private let normalized: AddedTokenMatcher
    private let normalizers: [Normalizer]

    init(_ tokens: [AddedToken], normalizers: [Normalizer]) {
        self.normalizers = normalizers
        raw = AddedTokenMatcher(tokens.filter { !$0.isNormalized })
        normalized = AddedTokenMatcher(
            tokens.filter(\.isNormalized).map { token in
                var token = token
                token.content = token.content(normalizers)
                return token
            })
    }

    /// Whether a text may be cut, for encoding in parts, before any space that follows a visible ASCII character.
    var allowsCuts: Bool {
        normalizers.allSatisfy(\.isLocal) && !raw.mayCrossSpace && !normalized.mayCrossSpace
    }

    /// Calls `plain` with normalised text between tokens and whether it begins the text, and `token` with each token's id.
    ///
    /// Text that no normalizer changes is passed in place.
    func split(
        _ text: Span<UInt8>, plain: (_ text: Span<UInt8>, _ range: Range<Int>, _ isFirst: Bool) -> Void,
        token: (Int32) -> Void
    ) {
        raw.split(
            text, 0..<text.count,
            plain: { range in
                let isFirst = range.lowerBound == 0
                guard !normalizers.isEmpty else {
                    normalized.split(
                        text, range, plain: { plain(text, $0, isFirst && $0.lowerBound == 0) }, token: token)
                    return
                }
                var part: [UInt8] = []
                part.reserveCapacity(range.count)
                for index in range { part.append(text[index]) }
                let changed = normalizers.reduce(part) { $1.apply($0) }
                normalized.split(
                    changed.span, 0..<changed.count,
                    plain: { plain(changed.span, $0, isFirst && $0.lowerBound == 0) }, token: token)
            }, token: token)
    }
}
