/// Escaping of text from files and clients for display: characters that would move a terminal's cursor, forge a line or turn the
/// direction of reading are spelled out.
extension String {
    /// The text with control characters spelled out, as `\u{1b}`; line breaks and tabs stay.
    public var printable: String { spelledOut { $0 == "\n" || $0 == "\t" } }

    /// The text on one line: line breaks and tabs are spelled out too, as `\n` and `\t`.
    public var onOneLine: String { spelledOut { _ in false } }

    private func spelledOut(except isKept: (Unicode.Scalar) -> Bool) -> String {
        guard unicodeScalars.contains(where: { $0.isControl && !isKept($0) }) else { return self }
        var result = ""
        for scalar in unicodeScalars {
            switch scalar {
            case _ where !scalar.isControl || isKept(scalar): result.unicodeScalars.append(scalar)
            case "\n": result += "\\n"
            case "\r": result += "\\r"
            case "\t": result += "\\t"
            default: result += "\\u{\(String(scalar.value, radix: 16))}"
            }
        }
        return result
    }
}

extension Unicode.Scalar {
    /// Whether it acts on the display instead of being shown: C0 and C1 controls, line and paragraph separators, and the marks
    /// that turn the direction of reading.
    fileprivate var isControl: Bool {
        switch value {
        case 0..<0x20, 0x7F..<0xA0, 0x2028...0x202E, 0x2066...0x2069: true
        default: false
        }
    }
}
