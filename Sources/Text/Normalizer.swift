import Files

/// One normalization step of text before it is encoded.
enum Normalizer: Sendable, Equatable {
    /// Prepends bytes to any text that is not empty.
    case prepend([UInt8])
    /// Replaces each occurrence of bytes, from the left.
    case replace([UInt8], with: [UInt8])
    /// Replaces runs of two or more spaces by these bytes.
    case collapseSpaces([UInt8])
    /// A normal form of Unicode.
    case unicode(UnicodeForm)
    /// Lowercases every character.
    case lowercase
    /// Strips white space at the ends.
    case strip(left: Bool, right: Bool)
    /// Drops combining marks.
    case stripAccents

    func apply(_ text: [UInt8]) -> [UInt8] {
        switch self {
        case .prepend(let prefix): return text.isEmpty ? text : prefix + text
        case .replace(let pattern, let content):
            var result: [UInt8] = []
            result.reserveCapacity(text.count)
            var index = 0
            while index < text.count {
                if text[index] == pattern[0], text[index...].starts(with: pattern) {
                    result += content
                    index += pattern.count
                } else {
                    result.append(text[index])
                    index += 1
                }
            }
            return result
        case .collapseSpaces(let content): return Self.collapse(text, content)
        case .unicode(let form): return form.apply(text)
        case .lowercase: return Self.lowercased(text)
        case .strip(let left, let right):
            let scalars = String(decoding: text, as: UTF8.self).unicodeScalars
            var rest = scalars[...]
            if left { rest = rest.drop { $0.properties.isWhitespace } }
            while right, let last = rest.last, last.properties.isWhitespace { rest.removeLast() }
            return Array(String(rest).utf8)
        case .stripAccents:
            var result = String.UnicodeScalarView()
            for scalar in String(decoding: text, as: UTF8.self).unicodeScalars
            where !UnicodeForm.isMark(scalar.value) { result.append(scalar) }
            return Array(String(result).utf8)
        }
    }

    /// Whether normalising two parts of a text, cut before a space, equals normalising the whole.
    var isLocal: Bool {
        switch self {
        case .unicode, .lowercase, .stripAccents: true
        case .replace(let pattern, _): !pattern.contains(0x20) || pattern == [0x20]
        case .prepend, .collapseSpaces, .strip: false
        }
    }

    private static func collapse(_ text: [UInt8], _ content: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        var index = 0
        while index < text.count {
            var end = index
            while end < text.count, text[end] == 0x20 { end += 1 }
            if end - index >= 2 {
                result += content
                index = end
            } else {
                result.append(text[index])
                index += 1
            }
        }
        return result
    }

    private static func lowercased(_ text: [UInt8]) -> [UInt8] {
        var result: [UInt8] = []
        result.reserveCapacity(text.count)
        var index = 0
        while index < text.count {
            let byte = text[index]
            if byte < 0x80 {
                result.append((0x41...0x5a).contains(byte) ? byte | 0x20 : byte)
                index += 1
                continue
            }
            let (value, length) = UTF8Scalar.decode(text.span, at: index)
            if let scalar = Unicode.Scalar(value) { result += scalar.properties.lowercaseMapping.utf8 }
            index += length
        }
        return result
    }
}

/// The Metaspace pre-tokenizer: each space becomes the mark, and one mark is put before the text.
struct Metaspace: Sendable, Equatable {
    /// Where a mark is added to the text.
    enum Prepend: String, Sendable {
        case always, first, never
    }

    /// The mark, usually "▁".
    var mark: [UInt8]
    var prepend: Prepend
    /// Whether nothing merges across a mark.
    var splits: Bool

    /// The text with marks; `isFirst` says whether it begins the text.
    func apply(_ text: [UInt8], isFirst: Bool) -> [UInt8] {
        guard !text.isEmpty else { return text }
        let marked = Normalizer.replace([0x20], with: mark).apply(text)
        let wants = prepend == .always || prepend == .first && isFirst
        return wants && !marked.starts(with: mark) ? mark + marked : marked
    }
}

/// The decoder of SentencePiece-style tokens: decodes each token, joins them, then strips the ends.
struct PieceDecoder: Sendable, Equatable {
    struct Strip: Sendable, Equatable {
        var byte: UInt8
        /// The most characters stripped at the start.
        var start: Int
        /// The most characters stripped at the end.
        var stop: Int
    }

    var replacements: [Normalizer] = []
    var hasByteFallback = false
    var strip: Strip?
    /// A Metaspace decoder's mark: decoded to a space, and to nothing in the first token where `dropsFirst`.
    var mark: [UInt8]?
    var dropsFirst = false

    /// The bytes of one token.
    func bytes(of token: [UInt8]) -> [UInt8] {
        var bytes = token
        for replacement in replacements { bytes = replacement.apply(bytes) }
        if let mark { bytes = Normalizer.replace(mark, with: [0x20]).apply(bytes) }
        if hasByteFallback, let byte = ByteName.parse(bytes) { return [byte] }
        return bytes
    }

    /// Joined tokens, stripped at their ends.
    func strip(_ bytes: [UInt8]) -> [UInt8] {
        guard let strip else { return bytes }
        let leading = bytes.prefix(strip.start).prefix { $0 == strip.byte }.count
        let trailing = bytes.dropFirst(leading).suffix(strip.stop).reversed().prefix { $0 == strip.byte }.count
        return Array(bytes[leading..<bytes.count - trailing])
    }
}

/// The names of byte tokens: `<0x0A>`.
enum ByteName {
    /// The byte called `name`.
    static func parse(_ name: some Collection<UInt8>) -> UInt8? {
        let name = Array(name)
        guard name.count == 6, name.starts(with: "<0x".utf8), name[5] == UInt8(ascii: ">") else { return nil }
        let digits = String(decoding: name[3..<5], as: UTF8.self)
        return digits.allSatisfy(\.isHexDigit) ? UInt8(digits, radix: 16) : nil
    }

    static func of(_ byte: UInt8) -> [UInt8] {
        Array("<0x\([byte].hex.uppercased())>".utf8)
    }
}
