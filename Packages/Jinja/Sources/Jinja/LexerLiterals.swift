/// Numbers and strings.
extension Lexer {
    private func digits(from index: Int) -> Int? {
        var index = index
        guard index < source.count, source[index].isASCIIDigit else { return nil }
        while index < source.count {
            if source[index].isASCIIDigit {
                index += 1
            } else if source[index] == "_", index + 1 < source.count, source[index + 1].isASCIIDigit {
                index += 2
            } else {
                break
            }
        }
        return index
    }

    /// An integer in any base, or a float.
    mutating func number() throws(JinjaError) -> Token.Kind {
        let start = position
        if let end = floatEnd(), start == 0 || source[start - 1] != "." {
            position = end
            guard let value = Double(plain(start..<end)) else { throw error("a number out of range") }
            return .float(value)
        }
        if source[start] == "0", start + 2 < source.count, let radix = radix(source[start + 1]) {
            var end = start + 2
            while end < source.count {
                if Int(String(source[end]), radix: radix) != nil {
                    end += 1
                } else if source[end] == "_", end + 1 < source.count, Int(String(source[end + 1]), radix: radix) != nil {
                    end += 2
                } else {
                    break
                }
            }
            if end > start + 2 { return try integer(start + 2..<end, radix: radix, end: end) }
        }
        var end = start + 1
        if source[start] == "0" {
            while end < source.count, source[end] == "0" { end += 1 }
        } else {
            end = digits(from: start) ?? end
        }
        return try integer(start..<end, radix: 10, end: end)
    }

    private mutating func integer(_ range: Range<Int>, radix: Int, end: Int) throws(JinjaError) -> Token.Kind {
        guard let value = Int(plain(range), radix: radix) else { throw error("an integer out of range") }
        position = end
        return .integer(value)
    }

    private func plain(_ range: Range<Int>) -> String { String(scalars: source[range].filter { $0 != "_" }) }

    private func radix(_ scalar: Unicode.Scalar) -> Int? {
        switch scalar {
        case "b", "B": 2
        case "o", "O": 8
        case "x", "X": 16
        default: nil
        }
    }

    /// Where a float ends that starts here; nil if it is none.
    private func floatEnd() -> Int? {
        guard var end = digits(from: position) else { return nil }
        var isFloat = false
        if has(".", at: end), let fraction = digits(from: end + 1) { (end, isFloat) = (fraction, true) }
        if has("e", at: end) || has("E", at: end) {
            let sign = has("+", at: end + 1) || has("-", at: end + 1) ? 1 : 0
            if let exponent = digits(from: end + 1 + sign) { (end, isFloat) = (exponent, true) }
        }
        return isFloat ? end : nil
    }

    /// A string in quotes, with Python's escapes undone.
    mutating func string() throws(JinjaError) -> String {
        let quote = source[position]
        var text = String.UnicodeScalarView()
        var index = position + 1
        while index < source.count, source[index] != quote {
            guard source[index] == "\\" else {
                text.append(source[index])
                index += 1
                continue
            }
            guard index + 1 < source.count else { break }
            index = try escape(at: index + 1, into: &text)
        }
        guard index < source.count else { throw error("a string without its end") }
        advance(to: index + 1)
        return String(text)
    }

    /// Appends what the escape means whose letter is at `index`, and gives the index after it.
    private func escape(at index: Int, into text: inout String.UnicodeScalarView) throws(JinjaError) -> Int {
        let letter = source[index]
        switch letter {
        case "\n": return index + 1
        case "n": text.append("\n")
        case "t": text.append("\t")
        case "r": text.append("\r")
        case "a": text.append("\u{7}")
        case "b": text.append("\u{8}")
        case "f": text.append("\u{C}")
        case "v": text.append("\u{B}")
        case "\\", "'", "\"": text.append(letter)
        case "x": return try code(at: index + 1, digits: 2, into: &text)
        case "u": return try code(at: index + 1, digits: 4, into: &text)
        case "U": return try code(at: index + 1, digits: 8, into: &text)
        case "N": throw error("'\\N{...}' in a string is not supported")
        case "0"..."7":
            var (end, value) = (index, UInt32(0))
            while end < source.count, end < index + 3, let digit = UInt32(String(source[end]), radix: 8) {
                value = value * 8 + digit
                end += 1
            }
            if let scalar = Unicode.Scalar(value) { text.append(scalar) }
            return end
        default:
            text.append("\\")
            text.append(letter)
        }
        return index + 1
    }

    private func code(
        at index: Int, digits: Int, into text: inout String.UnicodeScalarView
    ) throws(JinjaError) -> Int {
        let end = index + digits
        guard end <= source.count, source[index..<end].allSatisfy({ $0.properties.isASCIIHexDigit }),
            let value = UInt32(String(scalars: source[index..<end]), radix: 16)
        else { throw error("a cut off escape in a string") }
        guard let scalar = Unicode.Scalar(value) else { throw error("an escape that is no character in a string") }
        text.append(scalar)
        return end
    }
}
