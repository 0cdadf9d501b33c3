/// A number, or a table of them, written as a Python dictionary: the form of jieba's HMM tables.
enum PythonLiteral: Equatable, Sendable {
    case number(Double)
    indirect case table([String: PythonLiteral])

    var number: Double? {
        if case .number(let value) = self { value } else { nil }
    }

    var table: [String: PythonLiteral]? {
        if case .table(let entries) = self { entries } else { nil }
    }

    /// A module's dictionary with the module's path, for errors.
    struct Module: Sendable {
        var file: String
        var entries: [String: PythonLiteral]
    }

    /// The dictionary that a module assigns to `P`; keys are strings in single quotes, with `\uXXXX` escapes, values are numbers or
    /// dictionaries.
    static func module(_ bytes: [UInt8], file: String) throws(ScoringError) -> Module {
        var reader = Reader(bytes: bytes, file: file)
        return Module(file: file, entries: try reader.module())
    }

    private struct Reader {
        let bytes: [UInt8]
        let file: String
        var index = 0

        init(bytes: [UInt8], file: String) { (self.bytes, self.file) = (bytes, file) }

        func error(_ reason: String) -> ScoringError {
            .file(file, line: bytes[..<min(index, bytes.count)].count { $0 == UInt8(ascii: "\n") } + 1, reason: reason)
        }

        mutating func module() throws(ScoringError) -> [String: PythonLiteral] {
            // Imports may precede the assignment, which is at the start of a line.
            while !bytes[index...].starts(with: "P=".utf8), !bytes[index...].starts(with: "P =".utf8) {
                guard let end = bytes[index...].firstIndex(of: UInt8(ascii: "\n")) else { throw error("expected 'P={'") }
                index = end + 1
            }
            index = bytes[index...].firstIndex(of: UInt8(ascii: "=")).map { $0 + 1 } ?? bytes.count
            let entries = try dictionary(depth: 0)
            skipSpace()
            guard index == bytes.count else { throw error("expected the end of the file behind '}'") }
            return entries
        }

        mutating func skipSpace() {
            while index < bytes.count, [0x20, 0x09, 0x0A, 0x0D].contains(bytes[index]) { index += 1 }
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
            index += 1
            return true
        }

        mutating func dictionary(depth: Int) throws(ScoringError) -> [String: PythonLiteral] {
            guard take("{") else { throw error("expected '{'") }
            var entries: [String: PythonLiteral] = [:]
            while !take("}") {
                if !entries.isEmpty, !take(",") { throw error("expected ',' or '}'") }
                let key = try string()
                guard take(":") else { throw error("expected ':' behind '\(key)'") }
                entries[key] = try value(depth: depth)
            }
            return entries
        }

        mutating func value(depth: Int) throws(ScoringError) -> PythonLiteral {
            skipSpace()
            if index < bytes.count, bytes[index] == UInt8(ascii: "{") {
                // Emissions and transitions are a dictionary of dictionaries, and nothing is nested deeper.
                guard depth == 0 else { throw error("a dictionary inside a state's dictionary") }
                return .table(try dictionary(depth: depth + 1))
            }
            let end = bytes[index...].firstIndex { [UInt8(ascii: ","), UInt8(ascii: "}"), 0x20, 0x0A, 0x0D].contains($0) }
            let text = String(decoding: bytes[index..<(end ?? bytes.count)], as: UTF8.self)
            guard let number = Double(text), number.isFinite else { throw error("expected a number, found '\(text.prefix(40))'") }
            index = end ?? bytes.count
            return .number(number)
        }

        mutating func string() throws(ScoringError) -> String {
            guard take("'") else { throw error("expected a string in single quotes") }
            var content: [UInt8] = []
            while true {
                guard index < bytes.count, bytes[index] != UInt8(ascii: "\n") else { throw error("a string that never ends") }
                let byte = bytes[index]
                index += 1
                if byte == UInt8(ascii: "'") { break }
                guard byte == UInt8(ascii: "\\") else {
                    content.append(byte)
                    continue
                }
                let digits = bytes[index...].dropFirst().prefix(4)
                guard index < bytes.count, bytes[index] == UInt8(ascii: "u"), digits.count == 4,
                    let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16), let scalar = Unicode.Scalar(code)
                else { throw error("expected \\u and four hexadecimal digits behind the backslash") }
                content += Array(String(scalar).utf8)
                index += 5
            }
            guard let text = String(validating: content, as: UTF8.self) else { throw error("a string that is not UTF-8") }
            return text
        }
    }
}
