/// The pre-tokenization pattern of cl100k, Llama 3 and Qwen: cuts text into pieces.
///
///     (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
///
/// Scanned by hand, as in ``GPT2Pattern``.
struct WordPattern: Sendable, Equatable {
    /// The longest run of digits in a piece: 3 in Llama 3, 1 in Qwen.
    var digits: Int
    /// Whether combining marks count as letters, as in Qwen 3.5.
    var marksAreLetters = false

    /// The end of the piece that starts at `start`, for valid UTF-8 and `start` < `text.count`.
    func pieceEnd(in text: Span<UInt8>, from start: Int) -> Int {
        let first = text[start]
        if first == UInt8(ascii: "'") {
            let length = Self.contractionLength(text, at: start)
            if length > 0 { return start + length }
        }
        let (kind, length) = scalarClass(text, at: start)
        let second = start + length
        if kind == ScalarClass.letter || isLetter(kind) && !startsLetter(text, at: second) {
            return runEnd(text, from: second) { isLetter($0) }
        }
        if kind == ScalarClass.number {
            var index = second
            var count = 1
            while count < digits, index < text.count {
                let (next, width) = scalarClass(text, at: index)
                guard next == ScalarClass.number else { break }
                index += width
                count += 1
            }
            return index
        }
        // One character other than a letter, digit or line end may precede letters.
        if first != 0x0a, first != 0x0d, startsLetter(text, at: second) {
            return runEnd(text, from: second) { isLetter($0) }
        }
        if kind == ScalarClass.space {
            if first == UInt8(ascii: " "), second < text.count, isSymbol(scalarClass(text, at: second).kind) {
                return symbolsEnd(text, from: second)
            }
            return whitespaceEnd(text, from: start)
        }
        return symbolsEnd(text, from: start)
    }

    private func isLetter(_ kind: UInt8) -> Bool {
        kind == ScalarClass.letter || marksAreLetters && kind == ScalarClass.mark
    }

    private func isSymbol(_ kind: UInt8) -> Bool {
        kind == ScalarClass.other || !marksAreLetters && kind == ScalarClass.mark
    }

    private func startsLetter(_ text: Span<UInt8>, at index: Int) -> Bool {
        index < text.count && isLetter(scalarClass(text, at: index).kind)
    }

    @inline(__always)
    private func runEnd(_ text: Span<UInt8>, from start: Int, _ belongs: (UInt8) -> Bool) -> Int {
        var index = start
        while index < text.count {
            let (kind, length) = scalarClass(text, at: index)
            guard belongs(kind) else { break }
            index += length
        }
        return index
    }

    /// The end of a run of symbols, which includes the line ends after it.
    private func symbolsEnd(_ text: Span<UInt8>, from start: Int) -> Int {
        var index = runEnd(text, from: start) { isSymbol($0) }
        while index < text.count, text[index] == 0x0a || text[index] == 0x0d { index += 1 }
        return index
    }

    /// The end of a run of white space: after its last line end, else before its last character, which belongs to the next piece.
    private func whitespaceEnd(_ text: Span<UInt8>, from start: Int) -> Int {
        var index = start
        var last = start
        var lineEnd = start
        while index < text.count {
            let (kind, length) = scalarClass(text, at: index)
            guard kind == ScalarClass.space else { break }
            if text[index] == 0x0a || text[index] == 0x0d { lineEnd = index + 1 }
            last = index
            index += length
        }
        if lineEnd > start { return lineEnd }
        return index == text.count || last == start ? index : last
    }

    /// The length of 's, 't, 'm, 'd, 're, 've or 'll in upper or lower case; 0 for anything else.
    ///
    /// Case-insensitively the long s (U+017F) is an s.
    private static func contractionLength(_ text: Span<UInt8>, at start: Int) -> Int {
        func lower(_ index: Int) -> UInt8 { index < text.count ? text[index] | 0x20 : 0 }
        switch lower(start + 1) {
        case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"):
            return text[start + 1] >= 0x40 ? 2 : 0
        case UInt8(ascii: "r"), UInt8(ascii: "v"): return lower(start + 2) == UInt8(ascii: "e") ? 3 : 0
        case UInt8(ascii: "l"): return lower(start + 2) == UInt8(ascii: "l") ? 3 : 0
        case 0xc5 | 0x20: return start + 2 < text.count && text[start + 1] == 0xc5 && text[start + 2] == 0xbf ? 3 : 0
        default: return 0
        }
    }

    @inline(__always)
    private func scalarClass(_ text: Span<UInt8>, at index: Int) -> (kind: UInt8, length: Int) {
        let (scalar, length) = UTF8Scalar.decode(text, at: index)
        return (ScalarClass.of(scalar), length)
    }
}
