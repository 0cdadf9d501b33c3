/// Reads JSON with // and /* */ comments and trailing commas; duplicate keys are refused.
struct JSONParser {
    private let file: String
    private let scalars: [Unicode.Scalar]
    private var index = 0
    private var line = 1
    private var column = 1
    private let depthLimit = 64

    init(_ text: String, file: String) {
        self.file = file
        scalars = Array(text.unicodeScalars)
    }

    /// The document's one value.
    static func parse(_ text: String, file: String) throws(RecipeError) -> JSONNode {
        var parser = JSONParser(text, file: file)
        try parser.skipSpace()
        let node = try parser.value(depth: 0)
        try parser.skipSpace()
        if let next = parser.peek { throw parser.error("expected the end of the file, found '\(next)'") }
        return node
    }

    private var position: SourcePosition { SourcePosition(file: file, line: line, column: column) }
    private var peek: Unicode.Scalar? { index < scalars.count ? scalars[index] : nil }

    private func error(_ message: String) -> RecipeError { .syntax(position, message) }

    private mutating func advance() {
        if scalars[index] == "\n" {
            line += 1
            column = 1
        } else {
            column += 1
        }
        index += 1
    }

    private mutating func skipSpace() throws(RecipeError) {
        while let next = peek {
            if next == " " || next == "\n" || next == "\t" || next == "\r" || next == "\u{FEFF}" {
                advance()
            } else if next == "/", index + 1 < scalars.count, scalars[index + 1] == "/" {
                while let next = peek, next != "\n" { _ = next; advance() }
            } else if next == "/", index + 1 < scalars.count, scalars[index + 1] == "*" {
                let start = position
                advance()
                advance()
                while !(peek == "*" && index + 1 < scalars.count && scalars[index + 1] == "/") {
                    guard peek != nil else { throw .syntax(start, "this comment never ends") }
                    advance()
                }
                advance()
                advance()
            } else {
                return
            }
        }
    }

    private mutating func value(depth: Int) throws(RecipeError) -> JSONNode {
        guard depth < depthLimit else { throw error("nested deeper than \(depthLimit) levels") }
        let start = position
        guard let next = peek else { throw error("expected a value, found the end of the file") }
        switch next {
        case "{": return JSONNode(value: .object(try object(depth: depth)), position: start)
        case "[": return JSONNode(value: .array(try array(depth: depth)), position: start)
        case "\"": return JSONNode(value: .string(try string()), position: start)
        case "-", "0"..."9": return JSONNode(value: .number(try number()), position: start)
        default:
            let word = try word()
            switch word {
            case "true": return JSONNode(value: .bool(true), position: start)
            case "false": return JSONNode(value: .bool(false), position: start)
            case "null": return JSONNode(value: .null, position: start)
            default: throw .syntax(start, "expected a value, found '\(word)'")
            }
        }
    }

    private mutating func word() throws(RecipeError) -> String {
        var word = String.UnicodeScalarView()
        while let next = peek, next.properties.isAlphabetic || next == "_" || ("0"..."9").contains(next) {
            word.append(next)
            advance()
        }
        if word.isEmpty, let next = peek { throw error("expected a value, found '\(next)'") }
        return String(word)
    }

    private mutating func number() throws(RecipeError) -> String {
        let start = position
        var text = String.UnicodeScalarView()
        while let next = peek, ("0"..."9").contains(next) || "+-.eE_".unicodeScalars.contains(next) {
            text.append(next)
            advance()
        }
        let string = String(text)
        guard string.wholeMatch(of: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+\-]?[0-9]+)?/) != nil, Double(string)?.isFinite == true
        else {
            throw .syntax(start, "'\(string)' is no number")
        }
        return string
    }

    private mutating func string() throws(RecipeError) -> String {
        let start = position
        advance()
        var text = String.UnicodeScalarView()
        while true {
            guard let next = peek, next != "\n" else { throw .syntax(start, "this string never ends") }
            advance()
            if next == "\"" { return String(text) }
            guard next == "\\" else {
                guard next.value >= 0x20 else {
                    throw .syntax(
                        start,
                        "a control character inside a string; write it as \\u00\(next.value < 16 ? "0" : "")\(String(next.value, radix: 16))"
                    )
                }
                text.append(next)
                continue
            }
            guard let escape = peek else { throw .syntax(start, "this string never ends") }
            advance()
            switch escape {
            case "n": text.append("\n")
            case "t": text.append("\t")
            case "r": text.append("\r")
            case "b": text.append("\u{8}")
            case "f": text.append("\u{C}")
            case "\"", "\\", "/": text.append(escape)
            case "u": text.append(try unicodeEscape())
            default: throw error("'\\\(escape)' is no escape")
            }
        }
    }

    private mutating func hexUnit() throws(RecipeError) -> UInt32 {
        var unit: UInt32 = 0
        for _ in 0..<4 {
            guard let next = peek, let digit = Character(next).hexDigitValue else {
                throw error("\\u needs four hexadecimal digits")
            }
            unit = unit << 4 | UInt32(digit)
            advance()
        }
        return unit
    }

    private mutating func unicodeEscape() throws(RecipeError) -> Unicode.Scalar {
        var code = try hexUnit()
        if (0xD800..<0xDC00).contains(code), peek == "\\", index + 1 < scalars.count, scalars[index + 1] == "u" {
            advance()
            advance()
            let low = try hexUnit()
            guard (0xDC00..<0xE000).contains(low) else { throw error("half a surrogate pair") }
            code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
        }
        guard let scalar = Unicode.Scalar(code) else { throw error("half a surrogate pair") }
        return scalar
    }

    private mutating func array(depth: Int) throws(RecipeError) -> [JSONNode] {
        advance()
        var elements: [JSONNode] = []
        while true {
            try skipSpace()
            if peek == "]" {
                advance()
                return elements
            }
            elements.append(try value(depth: depth + 1))
            try separator(end: "]")
        }
    }

    private mutating func object(depth: Int) throws(RecipeError) -> [JSONNode.Member] {
        advance()
        var members: [JSONNode.Member] = []
        var lines: [String: Int] = [:]
        while true {
            try skipSpace()
            if peek == "}" {
                advance()
                return members
            }
            let start = position
            guard peek == "\"" else {
                throw error(
                    peek.map { "expected a key in double quotes, found '\($0)'" } ?? "expected a key, found the end of the file")
            }
            let key = try string()
            if let earlier = lines.updateValue(start.line, forKey: key) {
                throw .syntax(start, "'\(key)' stands here a second time; the first is on line \(earlier)")
            }
            try skipSpace()
            guard peek == ":" else { throw error("expected ':' after '\(key)'") }
            advance()
            try skipSpace()
            members.append(JSONNode.Member(key: key, position: start, value: try value(depth: depth + 1)))
            try separator(end: "}")
        }
    }

    private mutating func separator(end: Unicode.Scalar) throws(RecipeError) {
        try skipSpace()
        if peek == "," {
            advance()
        } else if peek != end {
            throw error(
                peek.map { "expected ',' or '\(end)', found '\($0)'" } ?? "expected ',' or '\(end)', found the end of the file")
        }
    }
}
