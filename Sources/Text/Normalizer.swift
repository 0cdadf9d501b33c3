/// One change of the text before it is encoded.
enum Normalizer: Sendable, Equatable {
    /// Puts bytes before any text that is not empty.
    case prepend([UInt8])
    /// Replaces each occurrence of bytes, from the left.
    case replace([UInt8], with: [UInt8])

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
        }
    }
}

/// How SentencePiece-style tokens become text again: each by itself, then all joined, then the ends stripped.
struct PieceDecoder: Sendable, Equatable {
    struct Strip: Sendable, Equatable {
        var byte: UInt8
        /// At most so many are taken from the start.
        var start: Int
        /// At most so many are taken from the end.
        var stop: Int
    }

    var replacements: [Normalizer] = []
    var hasByteFallback = false
    var strip: Strip?

    /// The bytes one token stands for.
    func bytes(of token: [UInt8]) -> [UInt8] {
        var bytes = token
        for replacement in replacements { bytes = replacement.apply(bytes) }
        if hasByteFallback, let byte = ByteName.parse(bytes) { return [byte] }
        return bytes
    }

    /// Joined tokens without what is stripped at their ends.
    func strip(_ bytes: [UInt8]) -> [UInt8] {
        guard let strip else { return bytes }
        let leading = bytes.prefix(strip.start).prefix { $0 == strip.byte }.count
        let trailing = bytes.dropFirst(leading).suffix(strip.stop).reversed().prefix { $0 == strip.byte }.count
        return Array(bytes[leading..<bytes.count - trailing])
    }
}

/// The names of byte tokens: `<0x0A>`.
enum ByteName {
    /// The byte that `name` stands for.
    static func parse(_ name: some Collection<UInt8>) -> UInt8? {
        let name = Array(name)
        guard name.count == 6, name.starts(with: "<0x".utf8), name[5] == UInt8(ascii: ">") else { return nil }
        let digits = String(decoding: name[3..<5], as: UTF8.self)
        return digits.allSatisfy(\.isHexDigit) ? UInt8(digits, radix: 16) : nil
    }

    static func of(_ byte: UInt8) -> [UInt8] {
        let digits = String(byte, radix: 16, uppercase: true)
        return Array("<0x\(byte < 16 ? "0" : "")\(digits)>".utf8)
    }
}
