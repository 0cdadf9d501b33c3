/// Reads JSON strictly from left to right (RFC 8259): for headers and configurations written by others.
///
/// Nothing is built but what the caller asks for, so memory stays in proportion to what is kept.
public struct JSONScanner {
    private let bytes: [UInt8]
    /// Where the scanner stands.
    public private(set) var position = 0

    /// A scanner at the start of `bytes`.
    public init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// An error where the scanner stands.
    public func error(_ reason: String) -> JSONError { JSONError(offset: position, reason: reason) }

    /// The next byte that is no white space, not consumed; nil at the end.
    public mutating func peek() -> UInt8? {
        while position < bytes.count {
            switch bytes[position] {
            case 0x20, 0x09, 0x0A, 0x0D: position += 1
            default: return bytes[position]
            }
        }
        return nil
    }

    /// Consumes `character`, or throws.
    public mutating func expect(_ character: Unicode.Scalar) throws(JSONError) {
        guard peek() == UInt8(ascii: character) else { throw error("expected '\(character)'") }
        position += 1
    }

    /// Consumes `character` if it is next.
    public mutating func take(_ character: Unicode.Scalar) -> Bool {
        guard peek() == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    /// Throws if anything but white space is left.
    public mutating func end() throws(JSONError) {
        guard peek() == nil else { throw error("text after the end of the value") }
    }

    /// Consumes an object, calling `body` at each value with its key; a key given twice is refused by `body`.
    public mutating func object(_ body: (inout JSONScanner, String) throws(JSONError) -> Void) throws(JSONError) {
        try objectOfBytes { scanner, key throws(JSONError) in try body(&scanner, String(decoding: key, as: UTF8.self)) }
    }

    /// As ``object(_:)``, with keys as UTF-8: two that Unicode calls equivalent stay two.
    public mutating func objectOfBytes(_ body: (inout JSONScanner, [UInt8]) throws(JSONError) -> Void) throws(JSONError) {
        try expect("{")
        if take("}") { return }
        repeat {
            let key = try stringBytes()
            try expect(":")
            try body(&self, key)
        } while take(",")
        try expect("}")
    }

    /// Consumes an array, calling `body` at each element.
    public mutating func array(_ body: (inout JSONScanner) throws(JSONError) -> Void) throws(JSONError) {
        try expect("[")
        if take("]") { return }
        repeat { try body(&self) } while take(",")
        try expect("]")
    }

    /// Consumes a whole number from 0.
    public mutating func count() throws(JSONError) -> Int {
        let start = position
        let text = try number()
        guard let value = Int(text), value >= 0, text.utf8.allSatisfy({ $0 != UInt8(ascii: "-") }) else {
            throw JSONError(offset: start, reason: "expected a whole number from 0, found \(text)")
        }
        return value
    }

    /// Consumes a number and gives its text.
    public mutating func number() throws(JSONError) -> String {
        _ = peek()
        let start = position
        _ = skip("-")
        if !skip("0") { try digits() }
        if skip(".") { try digits() }
        if skip("e") || skip("E") {
            if !skip("+") { _ = skip("-") }
            try digits()
        }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func skip(_ character: Unicode.Scalar) -> Bool {
        guard position < bytes.count, bytes[position] == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func digits() throws(JSONError) {
        let start = position
        while position < bytes.count, (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(bytes[position]) { position += 1 }
        guard position > start else { throw error("expected a digit") }
    }

    /// Consumes one of the words true, false, null.
    public mutating func word() throws(JSONError) -> String {
        for word in ["true", "false", "null"] where peek() == word.utf8.first && bytes[position...].starts(with: word.utf8) {
            position += word.utf8.count
            return word
        }
        throw error("expected a value")
    }

    /// Consumes a string.
    public mutating func string() throws(JSONError) -> String { String(decoding: try stringBytes(), as: UTF8.self) }

    /// Consumes a string and gives its UTF-8.
    public mutating func stringBytes() throws(JSONError) -> [UInt8] {
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
            guard position < bytes.count else { throw error("a string does not end") }
            let byte = bytes[position]
            guard byte >= 0x20 else { throw error("a control character in a string must be escaped") }
            position += 1
            if byte == UInt8(ascii: "\"") { break }
            if byte == UInt8(ascii: "\\") {
                content += Array(String(try escape()).utf8)
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

    private mutating func escape() throws(JSONError) -> Unicode.Scalar {
        guard position < bytes.count else { throw error("a string does not end") }
        let character = bytes[position]
        position += 1
        switch Unicode.Scalar(character) {
        case "\"", "\\", "/": return Unicode.Scalar(character)
        case "b": return "\u{8}"
        case "f": return "\u{c}"
        case "n": return "\n"
        case "r": return "\r"
        case "t": return "\t"
        case "u":
            var code = try hexadecimal()
            if (0xD800..<0xDC00).contains(code) {
                guard skip("\\"), skip("u") else { throw error("half a surrogate pair") }
                let low = try hexadecimal()
                guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
            return scalar
        default: throw error("an unknown escape")
        }
    }

    private mutating func hexadecimal() throws(JSONError) -> UInt32 {
        guard position + 4 <= bytes.count else { throw error("a string does not end") }
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard let digit = Character(Unicode.Scalar(bytes[position])).hexDigitValue else {
                throw error("expected four digits")
            }
            value = value << 4 | UInt32(digit)
            position += 1
        }
        return value
    }
}
