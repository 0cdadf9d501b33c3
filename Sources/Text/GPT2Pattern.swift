/// GPT-2's pre-tokenization pattern: cuts text into the pieces within which byte-level BPE merges.
///
///     's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
///
/// Scanned by hand: Swift's `Regex` reaches 2 MB/s on it. Source: Radford et al., "Language Models are Unsupervised Multitask
/// Learners" (2019), `encoder.py`.
struct GPT2Pattern: Sendable {
    private let classes = ScalarClass.table

    /// The end of the piece that starts at `start`, for valid UTF-8 and `start` < `text.count`.
    func pieceEnd(in text: Span<UInt8>, from start: Int) -> Int {
        let first = text[start]
        if first == UInt8(ascii: "'") {
            let length = contractionLength(text, at: start)
            if length > 0 { return start + length }
        }
        var index = start
        if first == UInt8(ascii: " ") {
            guard start + 1 < text.count else { return text.count }
            index += 1
        }
        var (kind, length) = scalarClass(text, at: index)
        if kind == ScalarClass.space { return whitespaceEnd(text, from: start) }
        let run = kind
        repeat {
            index += length
            guard index < text.count else { return text.count }
            (kind, length) = scalarClass(text, at: index)
        } while kind == run
        return index
    }

    /// The first position at or after `index` that no piece spans, whatever the context: before a space or line end that follows
    /// a visible ASCII character, since no piece has white space after anything else.
    static func cut(_ text: Span<UInt8>, atOrAfter index: Int, onlyAtSpaces: Bool = false) -> Int? {
        var index = max(index, 1)
        while index < text.count {
            let byte = text[index]
            if byte == UInt8(ascii: " ") || !onlyAtSpaces && byte == UInt8(ascii: "\n"), (0x21...0x7e).contains(text[index - 1]) {
                return index
            }
            index += 1
        }
        return nil
    }

    /// The end of a run of white space: before something else, a run of two or more leaves its last character to the next piece.
    private func whitespaceEnd(_ text: Span<UInt8>, from start: Int) -> Int {
        var index = start
        var last = start
        while index < text.count {
            let (kind, length) = scalarClass(text, at: index)
            if kind != ScalarClass.space { return last > start ? last : index }
            last = index
            index += length
        }
        return index
    }

    /// The length of 's, 't, 'm, 'd, 're, 've or 'll; 0 for anything else.
    private func contractionLength(_ text: Span<UInt8>, at start: Int) -> Int {
        guard start + 1 < text.count else { return 0 }
        switch text[start + 1] {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return 2
        case UInt8(ascii: "r"), UInt8(ascii: "v"):
            return start + 2 < text.count && text[start + 2] == UInt8(ascii: "e") ? 3 : 0
        case UInt8(ascii: "l"): return start + 2 < text.count && text[start + 2] == UInt8(ascii: "l") ? 3 : 0
        default: return 0
        }
    }

    @inline(__always)
    private func scalarClass(_ text: Span<UInt8>, at index: Int) -> (kind: UInt8, length: Int) {
        let lead = text[index]
        if lead < 0x80 { return (classes[Int(lead)], 1) }
        let (scalar, length) = UTF8Scalar.decode(text, at: index)
        let kind = Int(scalar) < classes.count ? classes[Int(scalar)] : ScalarClass.other
        return (kind == ScalarClass.mark ? ScalarClass.other : kind, length)
    }
}

/// The character classes of the patterns.
enum ScalarClass {
    static let other: UInt8 = 0
    static let letter: UInt8 = 1
    static let number: UInt8 = 2
    static let space: UInt8 = 3
    /// Combining marks, which most patterns count as `other`.
    static let mark: UInt8 = 4

    /// The class of every scalar below U+40000; above are only tags, private characters, and variation selectors, which
    /// ``of(_:)`` treats as marks.
    ///
    /// As of Unicode 16, the version in `tokenizers`: later letters would give other pieces than there.
    static let table: [UInt8] = (0..<0x40000 as Range<UInt32>).map { value in
        guard let scalar = Unicode.Scalar(value), let age = scalar.properties.age, age.major <= 16 else { return other }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return letter
        case .decimalNumber, .letterNumber, .otherNumber: return number
        case .nonspacingMark, .spacingMark, .enclosingMark: return mark
        default: return scalar.properties.isWhitespace ? space : other
        }
    }

    /// The class of any scalar.
    static func of(_ scalar: UInt32) -> UInt8 {
        if Int(scalar) < table.count { return table[Int(scalar)] }
        return (0xe0100...0xe01ef).contains(scalar) ? mark : other
    }
}

/// Reads one scalar of valid UTF-8.
enum UTF8Scalar {
    @inline(__always)
    static func decode(_ text: Span<UInt8>, at index: Int) -> (scalar: UInt32, length: Int) {
        let lead = UInt32(text[index])
        if lead < 0x80 { return (lead, 1) }
        func tail(_ offset: Int) -> UInt32 { UInt32(text[index + offset] & 0x3f) }
        if lead < 0xe0 { return ((lead & 0x1f) << 6 | tail(1), 2) }
        if lead < 0xf0 { return ((lead & 0x0f) << 12 | tail(1) << 6 | tail(2), 3) }
        return ((lead & 0x07) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3), 4)
    }

    /// The length of the sequence that `lead` begins.
    static func length(_ lead: UInt8) -> Int {
        lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
    }
}
