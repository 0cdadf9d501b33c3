import ArgumentParser
import Files
import Glibc

/// The raw bytes of the command line, before Swift decodes them as strings.
enum RawArguments {
    /// Throws if an argument is not UTF-8: decoded, it would silently be another string, and as a path another file.
    static func check() throws {
        let raw = unsafe CommandLine.unsafeArgv
        let arguments = (0..<Int(CommandLine.argc)).map { index in
            unsafe raw[index].map { unsafe [UInt8](UnsafeRawBufferPointer(start: $0, count: strlen($0))) } ?? []
        }
        if let refusal = refusal(of: Array(arguments.dropFirst())) { throw ValidationError(refusal) }
    }

    /// The message about the first argument that is not UTF-8; nil if all are.
    static func refusal(of arguments: [[UInt8]]) -> String? {
        guard let index = arguments.firstIndex(where: { String(validating: $0, as: UTF8.self) == nil }) else { return nil }
        var (name, value) = ("argument \(index + 1)", arguments[index][...])
        if let equals = value.firstIndex(of: UInt8(ascii: "=")), value.starts(with: "--".utf8) {
            name = spelled(value[..<equals])
            value = value[(equals + 1)...]
        } else if index > 0, arguments[index - 1].starts(with: "--".utf8), arguments[index - 1].count > 2 {
            name = spelled(arguments[index - 1][...])
        }
        return "\(name) is '\(spelled(value))', which is not UTF-8; rename the file, or give a path that is"
    }

    /// Bytes as text, non-ASCII bytes as `\xff`.
    private static func spelled(_ bytes: ArraySlice<UInt8>) -> String {
        bytes.map { byte in
            if (0x20..<0x7F).contains(byte) { return String(UnicodeScalar(byte)) }
            return "\\x" + [byte].hex
        }.joined()
    }
}
