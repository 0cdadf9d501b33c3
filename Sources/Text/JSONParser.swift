/// Reads RFC 8259 JSON strictly: duplicate keys, lone surrogates and deep nesting are refused.
struct JSONParser {
    private let bytes: [UInt8]
    private let file: String
    private var index = 0
    private var depth = 0

    private static let maximumDepth = 64

    /// The value that `bytes` hold; `file` names them in errors.
    static func parse(_ bytes: [UInt8], file: String) throws(TextError) -> JSONValue {
        var parser = JSONParser(bytes: bytes, file: file)
        if let offset = UTF8Check.firstInvalid(in: bytes.span) { throw .invalidUTF8(path: file, offset: offset) }
        let value = try parser.value()
        parser.skipSpace()
        guard parser.index == bytes.count else { throw parser.error("the end of the file is expected here") }
        return value
    }

    private init(bytes: [UInt8], file: String) {
        self.bytes = bytes
        self.file = file
    }

    private func error(_ reason: String) -> TextError {
        var (line, column) = (1, 1)
        for byte in bytes.prefix(index) {
            column += 1
            if byte == UInt8(ascii: "\n") { (line, column) = (line + 1, 1) }
        }
        return .malformedJSON(file: file, line: line, column: column, reason: reason)
    }

    private mutating func skipSpace() {
        while index < bytes.count, [0x20, 0x0a, 0x0d, 0x09].contains(bytes[index]) { index += 1 }
    }

    /// The next byte after white space, not taken.
    private mutating func peek() throws(TextError) -> UInt8 {
        skipSpace()
        guard index < bytes.count else { throw error("the file ends too early") }
        return bytes[index]
    }

    private mutating func expect(_ byte: UInt8) throws(TextError) {
        guard try peek() == byte else { throw error("'\(Character(Unicode.Scalar(byte)))' is expected here") }
        index += 1
    }

    private mutating func value() throws(TextError) -> JSONValue {
        switch try peek() {
        case UInt8(ascii: "{"): return try nested { parser throws(TextError) in try parser.object() }
        case UInt8(ascii: "["): return try nested { parser throws(TextError) in try parser.array() }
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try word("true", .bool(true))
        case UInt8(ascii: "f"): return try word("false", .bool(false))
        case UInt8(ascii: "n"): return try word("null", .null)
        default: return try number()
        }
    }

    private mutating func nested(
        _ body: (inout JSONParser) throws(TextError) -> JSONValue
    ) throws(TextError) -> JSONValue {
        depth += 1
        guard depth <= Self.maximumDepth else { throw error("nested deeper than \(Self.maximumDepth)") }
        index += 1
        let value = try body(&self)
        depth -= 1
        return value
    }

    private mutating func object() throws(TextError) -> JSONValue {
        var members: [JSONValue.Member] = []
        var keys: Set<[UInt8]> = []
        if try peek() != UInt8(ascii: "}") {
            while true {
                guard try peek() == UInt8(ascii: "\"") else { throw error("a key in quotes is expected here") }
                let key = try string()
                guard keys.insert(key).inserted else {
                    throw error("the key \"\(String(decoding: key, as: UTF8.self))\" is there twice")
                }
                try expect(UInt8(ascii: ":"))
                members.append(JSONValue.Member(key: key, value: try value()))
                if try peek() != UInt8(ascii: ",") { break }
                index += 1
            }
        }
        try expect(UInt8(ascii: "}"))
        return .object(members)
    }

    private mutating func array() throws(TextError) -> JSONValue {
        var items: [JSONValue] = []
        if try peek() != UInt8(ascii: "]") {
            while true {
                items.append(try value())
                if try peek() != UInt8(ascii: ",") { break }
                index += 1
            }
        }
        try expect(UInt8(ascii: "]"))
        return .array(items)
    }

    private mutating func word(_ word: String, _ value: JSONValue) throws(TextError) -> JSONValue {
        guard bytes[index...].starts(with: word.utf8) else { throw error("a value is expected here") }
        index += word.utf8.count
        return value
    }

    private mutating func number() throws(TextError) -> JSONValue {
        let start = index
        while index < bytes.count, Self.isNumeric(bytes[index]) { index += 1 }
        let digits = Array(bytes[start..<index])
        guard !digits.isEmpty, digits[0] != UInt8(ascii: "+"), Double(String(decoding: digits, as: UTF8.self)) != nil else {
            index = start
            throw error("a value is expected here")
        }
        return .number(digits)
    }

    private static func isNumeric(_ byte: UInt8) -> Bool {
        (0x30...0x39).contains(byte) || byte == UInt8(ascii: "-") || byte == UInt8(ascii: "+") || byte == UInt8(ascii: ".")
            || byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E")
    }

    private mutating func string() throws(TextError) -> [UInt8] {
        index += 1
        var result: [UInt8] = []
        while true {
            guard index < bytes.count else { throw error("the file ends inside a string") }
            let byte = bytes[index]
            if byte == UInt8(ascii: "\"") { break }
            guard byte >= 0x20 else { throw error("a control character inside a string must be escaped") }
            index += 1
            if byte != UInt8(ascii: "\\") {
                result.append(byte)
            } else {
                result += try escape()
            }
        }
        index += 1
        return result
    }

    private mutating func escape() throws(TextError) -> [UInt8] {
        guard index < bytes.count else { throw error("the file ends inside a string") }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return [byte]
        case UInt8(ascii: "b"): return [0x08]
        case UInt8(ascii: "f"): return [0x0c]
        case UInt8(ascii: "n"): return [0x0a]
        case UInt8(ascii: "r"): return [0x0d]
        case UInt8(ascii: "t"): return [0x09]
        case UInt8(ascii: "u"): break
        default: throw error("no such escape")
        }
        var scalar = try hexadecimal()
        if (0xd800..<0xdc00).contains(scalar), bytes[index...].starts(with: [UInt8(ascii: "\\"), UInt8(ascii: "u")]) {
            index += 2
            let low = try hexadecimal()
            guard (0xdc00..<0xe000).contains(low) else { throw error("half a surrogate pair") }
            scalar = 0x10000 + (scalar - 0xd800) << 10 + (low - 0xdc00)
        }
        guard let scalar = Unicode.Scalar(scalar) else { throw error("half a surrogate pair") }
        return Array(String(Character(scalar)).utf8)
    }

    private mutating func hexadecimal() throws(TextError) -> UInt32 {
        var value: UInt32 = 0
        for _ in 0..<4 {
            guard index < bytes.count, let digit = Character(Unicode.Scalar(bytes[index])).hexDigitValue, bytes[index] < 0x80
            else {
                throw error("four hexadecimal digits are expected here")
            }
            value = value << 4 | UInt32(digit)
            index += 1
        }
        return value
    }
}
