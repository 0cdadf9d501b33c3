import Files
import JSON

/// Numbers, strings and dictionaries written in Python, as JSON values: jieba's HMM tables, BABILong's and RULER's prompts.
enum PythonLiteral {
    /// A module's dictionary with the module's path, for errors.
    typealias Module = (path: String, entries: JSONValue)

    /// The dictionary that the module at `path` assigns to `P`, with nothing behind it.
    ///
    /// Throws `FileError`, or ``ScoringError/file(_:line:reason:)``.
    static func module(path: String) throws -> Module {
        let bytes = try RegularFile.contents(path, links: .followed, limit: 256 << 20)
        var reader = Reader(bytes: bytes, file: path)
        let value = try reader.assignment("P")
        reader.skipSpace()
        guard reader.index == bytes.count else { throw reader.error("expected the end of the file behind '}'") }
        guard value.members != nil else { throw reader.error("expected 'P={'") }
        return (path, value)
    }

    /// The value that the module at `path` assigns to `name` at the start of a line; throws as ``module(path:)`` does.
    ///
    /// Values are numbers, dictionaries of at most two levels with strings as keys, and strings, in triple quotes too, also several that are one,
    /// and `f` strings whose fields are names of strings assigned elsewhere in the module.
    static func value(_ name: String, path: String) throws -> JSONValue {
        var reader = Reader(bytes: try RegularFile.contents(path, links: .followed, limit: 1 << 24), file: path)
        return try reader.assignment(name)
    }

    /// The strings of a list or tuple of strings, as Python writes it; nil for any other text.
    static func texts(_ text: String) -> [String]? {
        var reader = Reader(bytes: Array(text.utf8), file: "")
        guard let texts = try? reader.texts() else { return nil }
        reader.skipSpace()
        return reader.index == reader.bytes.count ? texts : nil
    }

    private struct Reader {
        let bytes: [UInt8]
        let file: String
        var index = 0
        /// Names whose strings are being read, each inside the one before.
        var names: [String] = []

        init(bytes: [UInt8], file: String) { (self.bytes, self.file) = (bytes, file) }

        func error(_ reason: String) -> ScoringError {
            .file(file, line: bytes[..<min(index, bytes.count)].count { $0 == UInt8(ascii: "\n") } + 1, reason: reason)
        }

        /// The value assigned to `name`; imports and other lines may precede it.
        mutating func assignment(_ name: String) throws(ScoringError) -> JSONValue {
            index = 0
            while !bytes[index...].starts(with: "\(name)=".utf8), !bytes[index...].starts(with: "\(name) =".utf8) {
                guard let end = bytes[index...].firstIndex(of: UInt8(ascii: "\n")) else {
                    throw error("expected '\(name) = …' at the start of a line")
                }
                index = end + 1
            }
            index = bytes[index...].firstIndex(of: UInt8(ascii: "=")).map { $0 + 1 } ?? bytes.count
            names.append(name)
            defer { names.removeLast() }
            return try value(depth: 0)
        }

        mutating func skipSpace() {
            while index < bytes.count {
                if bytes[index] == UInt8(ascii: "#") {
                    index = bytes[index...].firstIndex(of: UInt8(ascii: "\n")) ?? bytes.count
                } else if [0x20, 0x09, 0x0A, 0x0D].contains(bytes[index]) {
                    index += 1
                } else {
                    return
                }
            }
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipSpace()
            guard index < bytes.count, bytes[index] == UInt8(ascii: character) else { return false }
            index += 1
            return true
        }

        mutating func dictionary(depth: Int) throws(ScoringError) -> JSONValue {
            guard take("{") else { throw error("expected '{'") }
            // jieba's states, or BABILong's tasks, have a dictionary each, and nothing is nested deeper.
            guard depth < 2 else { throw error("a dictionary two levels inside another") }
            var entries: [String: JSONValue] = [:]
            while !take("}") {
                guard let key = try string() else { throw error("expected a string in quotes") }
                guard take(":") else { throw error("expected ':' behind '\(key)'") }
                entries[key] = try value(depth: depth + 1)
                if !take(",") {
                    guard take("}") else { throw error("expected ',' or '}'") }
                    break
                }
            }
            return .object(of: entries.map { ($0.key, $0.value) })
        }

        /// The strings between brackets, with commas between.
        mutating func texts() throws(ScoringError) -> [String] {
            let isList = take("[")
            guard isList || take("(") else { throw error("expected '['") }
            let end: Unicode.Scalar = isList ? "]" : ")"
            var texts: [String] = []
            while !take(end) {
                guard let text = try string() else { throw error("expected a string in quotes") }
                texts.append(text)
                if !take(",") {
                    guard take(end) else { throw error("expected ',' or '\(end)'") }
                    break
                }
            }
            return texts
        }

        mutating func value(depth: Int) throws(ScoringError) -> JSONValue {
            skipSpace()
            if index < bytes.count, bytes[index] == UInt8(ascii: "{") { return try dictionary(depth: depth) }
            if var text = try string() {
                // Strings one behind the other are one; at the top, only those on the assignment's line.
                while depth > 0, let more = try string() { text.unicodeScalars += more.unicodeScalars }
                return .text(text)
            }
            let end = bytes[index...].firstIndex { [UInt8(ascii: ","), UInt8(ascii: "}"), 0x20, 0x0A, 0x0D].contains($0) }
            let text = String(decoding: bytes[index..<(end ?? bytes.count)], as: UTF8.self)
            guard Double(text)?.isFinite ?? false else { throw error("expected a number, found '\(text.prefix(40))'") }
            index = end ?? bytes.count
            return .number(text)
        }

        /// The string that begins here; nil where none does.
        mutating func string() throws(ScoringError) -> String? {
            skipSpace()
            let isFormatted = bytes[index...].first == UInt8(ascii: "f")
            let quotes = [UInt8(ascii: "'"), UInt8(ascii: "\"")]
            guard let quote = bytes[index...].dropFirst(isFormatted ? 1 : 0).first, quotes.contains(quote) else { return nil }
            index += isFormatted ? 1 : 0
            // Three quotation marks enclose line ends and single marks.
            let marks = [UInt8](repeating: quote, count: bytes[index...].starts(with: [quote, quote, quote]) ? 3 : 1)
            index += marks.count
            var content: [UInt8] = []
            while !bytes[index...].starts(with: marks) {
                guard index < bytes.count, marks.count == 3 || bytes[index] != UInt8(ascii: "\n") else {
                    throw error("a string that never ends")
                }
                let byte = bytes[index]
                index += 1
                switch byte {
                case UInt8(ascii: "\\"): content += try escaped()
                case UInt8(ascii: "{") where isFormatted, UInt8(ascii: "}") where isFormatted:
                    content += try field(behind: byte)
                default: content.append(byte)
                }
            }
            index += marks.count
            guard let text = String(validating: content, as: UTF8.self) else { throw error("a string that is not UTF-8") }
            return text
        }

        /// The bytes that stand behind a backslash.
        private mutating func escaped() throws(ScoringError) -> [UInt8] {
            let plain: KeyValuePairs<Unicode.Scalar, Unicode.Scalar> = [
                "n": "\n", "t": "\t", "r": "\r", "'": "'", "\"": "\"", "\\": "\\",
            ]
            if index < bytes.count, let pair = plain.first(where: { UInt8(ascii: $0.key) == bytes[index] }) {
                index += 1
                return [UInt8(ascii: pair.value)]
            }
            let sizes: KeyValuePairs<Unicode.Scalar, Int> = ["u": 4, "x": 2, "U": 8]
            let size = sizes.first { index < bytes.count && UInt8(ascii: $0.key) == bytes[index] }?.value ?? 0
            let digits = bytes[index...].dropFirst().prefix(size)
            guard size > 0, digits.count == size,
                let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16), let scalar = Unicode.Scalar(code)
            else { throw error("expected n, t, r, a quotation mark, or x, u or U and hexadecimal digits behind the backslash") }
            index += 1 + size
            return Array(String(scalar).utf8)
        }

        /// The text of a field of a formatted string, or the brace that two of them are.
        private mutating func field(behind brace: UInt8) throws(ScoringError) -> [UInt8] {
            if index < bytes.count, bytes[index] == brace {
                index += 1
                return [brace]
            }
            let name = bytes[index...].prefix { $0 != UInt8(ascii: "}") && $0 != UInt8(ascii: "\n") }
            let text = String(decoding: name, as: UTF8.self)
            guard brace == UInt8(ascii: "{"), name.endIndex < bytes.count, bytes[name.endIndex] == UInt8(ascii: "}"),
                !text.isEmpty, text.utf8.allSatisfy({ $0 == UInt8(ascii: "_") || ($0 | 0x20) >= 0x61 && ($0 | 0x20) <= 0x7A }),
                !names.contains(text), names.count < 8
            else { throw error("expected the name of another string in the braces of an f string") }
            let behind = name.endIndex + 1
            guard let value = try assignment(text).bytes else { throw error("'\(text)' is no string") }
            index = behind
            return value
        }
    }
}
