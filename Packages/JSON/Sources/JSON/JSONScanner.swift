/// A reader of JSON from left to right: RFC 8259 strictly, or with the additions that files written by hand have.
///
/// Nothing is built that the caller does not ask for.
public struct JSONScanner {
    /// The language of a text.
    public struct Syntax: Sendable {
        /// Whether // and /* */ comments, byte order marks and commas before a closing bracket are passed over.
        var isRelaxed: Bool
        /// The name of the text in error messages.
        var noun: String

        /// RFC 8259 as it is: requests, headers and others' configurations.
        public static let strict = Syntax(isRelaxed: false, noun: "text")
        /// A file that people write, with comments and trailing commas.
        public static let relaxed = Syntax(isRelaxed: true, noun: "file")
    }

    private let bytes: [UInt8]
    private let syntax: Syntax
    /// The offset of the next byte.
    private(set) var position = 0

    /// A scanner at the start of `bytes`.
    public init(_ bytes: [UInt8], syntax: Syntax = .strict) {
        self.bytes = bytes
        self.syntax = syntax
    }

    /// An error at the scanner's position.
    public func error(_ reason: String) -> JSONError { JSONError(offset: position, reason: reason) }

    /// The error where something else than `wanted` is found.
    func unexpected(_ wanted: String) -> JSONError {
        // Of comments only one without an end is left standing.
        if syntax.isRelaxed, starts(with: "/*") { return error("this comment never ends") }
        return error("expected \(wanted), found " + (scalar.map { "'\($0)'" } ?? "the end of the \(syntax.noun)"))
    }

    /// The error of a key at two offsets of one object.
    func duplicate(_ key: [UInt8], at offset: Int, first: Int) -> JSONError {
        var lines = LineCounter(bytes)
        let line = lines.position(of: first).line
        let name = String(decoding: key, as: UTF8.self)
        return JSONError(offset: offset, reason: "'\(name)' stands here a second time; the first is on line \(line)")
    }

    /// The next character.
    private var scalar: Unicode.Scalar? {
        String(decoding: bytes[position..<min(position + 4, bytes.count)], as: UTF8.self).unicodeScalars.first
    }

    private func starts(with text: String) -> Bool { bytes[position...].starts(with: text.utf8) }

    /// The next byte that is neither white space nor part of a comment, not consumed; nil at the end.
    mutating func peek() -> UInt8? {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            case let byte:
                guard syntax.isRelaxed, skipAddition() else { return byte }
            }
        }
        return nil
    }

    /// Consumes a comment or a byte order mark.
    private mutating func skipAddition() -> Bool {
        if starts(with: "\u{FEFF}") {
            position += 3
        } else if starts(with: "//") {
            position = bytes[position...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
        } else if starts(with: "/*") {
            var end = position + 2
            while end + 1 < bytes.count, bytes[end] != UInt8(ascii: "*") || bytes[end + 1] != UInt8(ascii: "/") { end += 1 }
            guard end + 1 < bytes.count else { return false }
            position = end + 2
        } else {
            return false
        }
        return true
    }

    /// Consumes `character`, or throws.
    mutating func expect(_ character: Unicode.Scalar) throws(JSONError) {
        guard take(character) else { throw unexpected("'\(character)'") }
    }

    /// Consumes `character` if it is next.
    mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// Throws if anything is left but white space and comments.
    public mutating func end() throws(JSONError) {
        guard peek() == nil else { throw unexpected("the end of the \(syntax.noun)") }
    }

    /// Consumes an object, calling `body` at each value with its key; a key given twice is refused by `body`.
    public mutating func object(_ body: (inout JSONScanner, String) throws(JSONError) -> Void) throws(JSONError) {
        try objectOfBytes { scanner, key, _ throws(JSONError) in try body(&scanner, String(decoding: key, as: UTF8.self)) }
    }

    /// As ``object(_:)``, with each key as UTF-8, so that two that Unicode calls equivalent stay two, and with its offset.
    mutating func objectOfBytes(
        _ body: (inout JSONScanner, [UInt8], Int) throws(JSONError) -> Void
    ) throws(JSONError) {
        try expect("{")
        var isFirst = true
        while try another(&isFirst, before: "}") {
            guard let next = peek() else { throw unexpected("a key") }
            guard next == UInt8(ascii: "\"") else { throw unexpected("a key in double quotes") }
            let start = position
            let key = try stringBytes()
            guard take(":") else { throw error("expected ':' after '\(String(decoding: key, as: UTF8.self))'") }
            try body(&self, key, start)
        }
    }

    /// Consumes an array, calling `body` at each element.
    public mutating func array(_ body: (inout JSONScanner) throws(JSONError) -> Void) throws(JSONError) {
        try expect("[")
        var isFirst = true
        while try another(&isFirst, before: "]") { try body(&self) }
    }

    /// Whether an object or array has one more part; consumes the comma before it, or the `end`.
    private mutating func another(_ isFirst: inout Bool, before end: Unicode.Scalar) throws(JSONError) -> Bool {
        defer { isFirst = false }
        if !isFirst, take(",") { return !syntax.isRelaxed || !take(end) }
        if take(end) { return false }
        guard isFirst else { throw unexpected("',' or '\(end)'") }
        return true
    }

    /// Consumes a whole number from 0.
    public mutating func count() throws(JSONError) -> Int {
        _ = peek()
        let start = position
        let text = try number()
        guard let value = Int(text), value >= 0, text.utf8.allSatisfy({ $0 != UInt8(ascii: "-") }) else {
            throw JSONError(offset: start, reason: "expected a whole number from 0, found \(text)")
        }
        return value
    }

    /// Consumes a number and gives its text.
    mutating func number() throws(JSONError) -> String {
        _ = peek()
        let start = position
        _ = skip("-")
        var isSound = skip("0") || digits()
        if isSound, skip(".") { isSound = digits() }
        if isSound, skip("e") || skip("E") {
            if !skip("+") { _ = skip("-") }
            isSound = digits()
        }
        let end = position
        while position < bytes.count, Self.isOfNumber(bytes[position]) { position += 1 }
        guard isSound, position == end else {
            let found = String(decoding: bytes[start..<position], as: UTF8.self)
            position = start
            throw found.isEmpty ? unexpected("a number") : error("'\(found)' is no number")
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private static func isOfNumber(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "+"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "e"),
            UInt8(ascii: "E"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// Consumes one digit or more; false where there is none.
    private mutating func digits() -> Bool {
        let start = position
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) { position += 1 }
        return position > start
    }

    /// Consumes one of the words true, false, null.
    mutating func word() throws(JSONError) -> String {
        _ = peek()
        for word in ["true", "false", "null"] where starts(with: word) {
            let end = position + word.utf8.count
            guard end == bytes.count || !Self.isOfWord(Unicode.Scalar(bytes[end])) else { break }
            position = end
            return word
        }
        let rest = String(decoding: bytes[position..<min(position + 64, bytes.count)], as: UTF8.self).unicodeScalars
        let found = String(rest.prefix(while: Self.isOfWord))
        throw found.isEmpty ? unexpected("a value") : error("expected a value, found '\(found)'")
    }

    private static func isOfWord(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isAlphabetic || scalar == "_" || ("0"..."9").contains(scalar)
    }

    /// Consumes a string.
    public mutating func string() throws(JSONError) -> String { String(decoding: try stringBytes(), as: UTF8.self) }

    /// Consumes a string and gives its UTF-8.
    mutating func stringBytes() throws(JSONError) -> [UInt8] {
        try expect("\"")
        let start = position
        var isASCII = true
        // Most strings have no escapes and are taken as they are.
        while position < bytes.count, bytes[position] != UInt8(ascii: "\""), bytes[position] != UInt8(ascii: "\\"),
            bytes[position] >= 0x20
        {
            isASCII = isASCII && bytes[position] < 0x80
            position += 1
        }
        var content = Array(bytes[start..<position])
        while true {
            guard position < bytes.count, bytes[position] != UInt8(ascii: "\n") else {
                throw JSONError(offset: start - 1, reason: "this string never ends")
            }
            let byte = bytes[position]
            guard byte >= 0x20 else {
                let reason = "a control character inside a string; write it as \(JSONValue.escape(byte))"
                throw JSONError(offset: start - 1, reason: reason)
            }
            position += 1
            if byte == UInt8(ascii: "\"") { break }
            if byte == UInt8(ascii: "\\") {
                content += Array(String(try escape(from: start - 1)).utf8)
            } else {
                isASCII = isASCII && byte < 0x80
                content.append(byte)
            }
        }
        guard isASCII || String(validating: content, as: UTF8.self) != nil else {
            throw JSONError(offset: start, reason: "a string that is not UTF-8")
        }
        return content
    }

    /// Consumes an escape behind its backslash, in the string that begins at `start`.
    private mutating func escape(from start: Int) throws(JSONError) -> Unicode.Scalar {
        guard let character = scalar else { throw JSONError(offset: start, reason: "this string never ends") }
        position += UTF8.width(character)
        switch character {
        case "\"", "\\", "/": return character
        case "b": return "\u{8}"
        case "f": return "\u{c}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "u":
            var code = try hexadecimal()
            if (0xD800..<0xDC00).contains(code), starts(with: "\\u") {
                position += 2
                let low = try hexadecimal()
                guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
            return scalar
        default: throw error("'\\\(character)' is no escape")
        }
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard position < bytes.count, let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
                throw error("\\u needs four hexadecimal digits")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
