import Foundation

/// Python's two ways to fill in a string.
extension Renderer {
    /// How one value is to be written: `>8`, `05.1f`, `,`.
    private struct Specification {
        var fill = " "
        var align: Unicode.Scalar?
        var sign: Unicode.Scalar?
        var width = 0
        var precision: Int?
        var hasCommas = false
        var type: Unicode.Scalar?
    }

    /// Numbers of a format with more digits than this are refused.
    private static let widest = 1_000_000

    private func number(_ scalars: [Unicode.Scalar], _ index: inout Int) throws(JinjaError) -> Int? {
        let start = index
        while index < scalars.count, scalars[index].isASCIIDigit { index += 1 }
        guard index > start else { return nil }
        guard let value = Int(String(scalars: scalars[start..<index])), value <= Self.widest else {
            throw limit("a format wider than \(Self.widest)")
        }
        return value
    }

    // MARK: str.format

    /// `"{} {name}".format(...)`.
    func format(_ text: String, _ arguments: CallArguments) throws(JinjaError) -> String {
        try charge(scan: text)
        let scalars = Array(text.unicodeScalars)
        var result = ""
        var (index, automatic) = (0, 0)
        while index < scalars.count {
            let scalar = scalars[index]
            index += 1
            guard scalar == "{" || scalar == "}" else {
                result.unicodeScalars.append(scalar)
                continue
            }
            if index < scalars.count, scalars[index] == scalar {
                result.unicodeScalars.append(scalar)
                index += 1
                continue
            }
            guard scalar == "{" else { throw fault("Single '}' encountered in format string") }
            guard let end = scalars[index...].firstIndex(of: "}") else { throw fault("expected '}' before end of string") }
            result += try field(Array(scalars[index..<end]), arguments, &automatic)
            try charge(bytes: result.utf8.count)
            index = end + 1
        }
        return result
    }

    private func field(
        _ field: [Unicode.Scalar], _ arguments: CallArguments, _ automatic: inout Int
    ) throws(JinjaError) -> String {
        guard !field.contains("{") else { throw fault("a format within a format is not supported") }
        let nameEnd = field.firstIndex { $0 == ":" || $0 == "!" } ?? field.count
        var value = try operand(Array(field[..<nameEnd]), arguments, &automatic)
        var index = nameEnd
        if index < field.count, field[index] == "!" {
            guard index + 1 < field.count, ["r", "s"].contains(field[index + 1]) else { throw fault("unknown conversion") }
            value = .string(field[index + 1] == "r" ? try representation(value) : try string(value))
            index += 2
        }
        guard index < field.count else { return try string(value) }
        guard field[index] == ":" else { throw fault("expected ':' after conversion specifier") }
        return try formatted(value, try specification(Array(field[(index + 1)...])))
    }

    /// The value that `0`, `name`, `name.attribute` or `name[key]` names.
    private func operand(
        _ path: [Unicode.Scalar], _ arguments: CallArguments, _ automatic: inout Int
    ) throws(JinjaError) -> Value {
        let end = path.firstIndex { $0 == "." || $0 == "[" } ?? path.count
        let name = String(scalars: path[..<end])
        var value: Value
        if let place = name.isEmpty ? automatic : Int(name) {
            if name.isEmpty { automatic += 1 }
            guard arguments.positional.indices.contains(place) else {
                throw fault("Replacement index \(place) out of range for positional args tuple")
            }
            value = arguments.positional[place]
        } else {
            guard let named = arguments.named.first(where: { $0.name == name }) else { throw fault("no argument '\(name)'") }
            value = named.value
        }
        var rest = path[end...]
        while let first = rest.popFirst() {
            let stop = rest.firstIndex { first == "." ? $0 == "." || $0 == "[" : $0 == "]" } ?? rest.endIndex
            let part = String(scalars: rest[..<stop])
            rest = rest[stop...]
            if first == "[" { _ = rest.popFirst() }
            let key = Int(part).map { Value.int($0) } ?? .string(part)
            value = first == "." ? try attribute(part, of: value) : try item(key, of: value)
            if case .undefined(let undefined) = value { throw fault(undefined.message) }
        }
        return value
    }

    private func specification(_ scalars: [Unicode.Scalar]) throws(JinjaError) -> Specification {
        var result = Specification()
        var index = 0
        let aligns: [Unicode.Scalar] = ["<", ">", "^", "="]
        if scalars.count > 1, aligns.contains(scalars[1]) {
            result.fill = String(scalars[0])
            result.align = scalars[1]
            index = 2
        } else if let first = scalars.first, aligns.contains(first) {
            result.align = first
            index = 1
        }
        if index < scalars.count, ["+", "-", " "].contains(scalars[index]) {
            result.sign = scalars[index]
            index += 1
        }
        if index < scalars.count, scalars[index] == "0" {
            if result.align == nil { (result.fill, result.align) = ("0", "=") }
            index += 1
        }
        result.width = try number(scalars, &index) ?? 0
        if index < scalars.count, scalars[index] == "," {
            result.hasCommas = true
            index += 1
        }
        if index < scalars.count, scalars[index] == "." {
            index += 1
            result.precision = try number(scalars, &index)
        }
        if index < scalars.count {
            result.type = scalars[index]
            index += 1
        }
        guard index == scalars.count else { throw fault("Invalid format specifier") }
        return result
    }

    private func formatted(_ value: Value, _ specification: Specification) throws(JinjaError) -> String {
        if value.number != nil {
            let (sign, digits) = try numeral(value, specification)
            let width = specification.width
            if specification.align == "=" {
                let room = width - sign.scalarCount
                return sign + (try padded(digits, specification.fill, left: max(0, room - digits.scalarCount), to: room))
            }
            return try aligned(sign + digits, specification, standard: ">")
        }
        guard var text = value.text else { throw fault("unsupported format string passed to \(value.type).__format__") }
        if let precision = specification.precision { text = String(scalars: text.unicodeScalars.prefix(precision)) }
        guard specification.type == nil || specification.type == "s" else {
            throw fault("Unknown format code for object of type '\(value.type)'")
        }
        return try aligned(text, specification, standard: "<")
    }

    private func aligned(_ text: String, _ specification: Specification, standard: Unicode.Scalar) throws(JinjaError) -> String {
        let missing = max(0, specification.width - text.scalarCount)
        let left =
            switch specification.align ?? standard {
            case "<": 0
            case "^": missing / 2
            default: missing
            }
        return try padded(text, specification.fill, left: left, to: specification.width)
    }

    /// The sign and the digits of a number.
    private func numeral(_ value: Value, _ specification: Specification) throws(JinjaError) -> (sign: String, digits: String) {
        var digits: String
        let isNegative: Bool
        if let integer = value.integer, [nil, "d", "x", "X", "o", "b", "i", "u"].contains(specification.type) {
            isNegative = integer < 0
            let radix: [Unicode.Scalar: Int] = ["x": 16, "X": 16, "o": 8, "b": 2]
            digits = String(
                integer.magnitude, radix: specification.type.flatMap { radix[$0] } ?? 10, uppercase: specification.type == "X")
        } else {
            let number = value.number ?? 0
            isNegative = number < 0
            digits = try decimal(number.magnitude, specification)
        }
        if specification.hasCommas {
            let whole = digits.prefix { $0 != "." && $0 != "e" }
            var grouped = ""
            for (index, digit) in whole.enumerated() {
                if index > 0, (whole.count - index) % 3 == 0 { grouped += "," }
                grouped.append(digit)
            }
            digits = grouped + digits.dropFirst(whole.count)
        }
        let positive = specification.sign == "+" ? "+" : specification.sign == " " ? " " : ""
        return (isNegative ? "-" : positive, digits)
    }

    private func decimal(_ number: Double, _ specification: Specification) throws(JinjaError) -> String {
        guard number.isFinite else { return number.isNaN ? "nan" : "inf" }
        let precision = specification.precision ?? 6
        guard precision <= 1000 else { throw limit("a format of more than 1000 digits") }
        switch specification.type {
        case "f", "F": return String(format: "%.\(precision)f", number)
        case "e", "E", "g", "G": return String(format: "%.\(precision)\(specification.type ?? "g")", number)
        case "%": return String(format: "%.\(precision)f", number * 100) + "%"
        case nil where specification.precision == nil: return PythonFloat.representation(number)
        case nil: return String(format: "%.\(max(1, precision))g", number)
        case "d", "i", "u":
            guard let integer = Int(exactly: number.rounded(.towardZero)) else {
                throw fault("an integer that needs more than 64 bits")
            }
            return String(integer)
        default: throw fault("Unknown format code '\(specification.type ?? " ")' for object of type 'float'")
        }
    }

    // MARK: str % values

    /// `"%s and %d" % values`.
    func percent(_ text: String, _ values: Value) throws(JinjaError) -> String {
        try charge(bytes: text.utf8.count)
        try charge(scan: text)
        let scalars = Array(text.unicodeScalars)
        var queue: [Value] = if case .tuple(let items) = values { items.elements } else { [values] }
        queue.reverse()
        var usedName = false
        var result = ""
        var index = 0
        while index < scalars.count {
            guard scalars[index] == "%" else {
                result.unicodeScalars.append(scalars[index])
                index += 1
                continue
            }
            index += 1
            var named: Value?
            if index < scalars.count, scalars[index] == "(", let end = scalars[index...].firstIndex(of: ")") {
                guard case .dictionary = values else { throw fault("format requires a mapping") }
                named = try item(.string(String(scalars: scalars[(index + 1)..<end])), of: values)
                usedName = true
                index = end + 1
            }
            let specification = try percentSpecification(scalars, &index)
            if specification.type == "%" {
                result += "%"
                continue
            }
            guard let value = named ?? queue.popLast() else { throw fault("not enough arguments for format string") }
            result += try percentFormatted(value, specification)
            try charge(bytes: result.utf8.count)
        }
        let takesKeys = if case .tuple = values { false } else { values.type == "str" ? false : values.count != nil }
        guard queue.isEmpty || usedName || takesKeys else { throw fault("not all arguments converted during string formatting") }
        return result
    }

    private func percentSpecification(_ scalars: [Unicode.Scalar], _ index: inout Int) throws(JinjaError) -> Specification {
        var result = Specification()
        result.align = ">"
        flags: while index < scalars.count {
            switch scalars[index] {
            case "-": (result.align, result.fill) = ("<", " ")
            case "0": if result.align != "<" { (result.align, result.fill) = ("=", "0") }
            case "+", " ": result.sign = scalars[index]
            case "#": break
            default: break flags
            }
            index += 1
        }
        result.width = try number(scalars, &index) ?? 0
        if index < scalars.count, scalars[index] == "." {
            index += 1
            result.precision = try number(scalars, &index) ?? 0
        }
        guard index < scalars.count else { throw fault("incomplete format") }
        result.type = scalars[index]
        index += 1
        return result
    }

    private func percentFormatted(_ value: Value, _ specification: Specification) throws(JinjaError) -> String {
        var specification = specification
        switch specification.type {
        case "s", "r", "a":
            let text = specification.type == "s" ? try string(value) : try representation(value)
            specification.type = "s"
            if specification.align == "=" { (specification.align, specification.fill) = (">", " ") }
            return try formatted(.string(text), specification)
        case "c":
            guard let scalar = character(value) else { throw fault("%c requires int or char") }
            specification.type = "s"
            specification.align = specification.align == "=" ? ">" : specification.align
            specification.fill = " "
            return try formatted(.string(String(scalar)), specification)
        case "d", "i", "u", "f", "F", "e", "E", "g", "G", "x", "X", "o":
            if case .undefined(let undefined) = value { throw fault(undefined.message) }
            guard value.number != nil else {
                throw fault("%\(specification.type ?? "d") format: a real number is required, not \(value.type)")
            }
            if value.integer != nil, ["d", "i", "u"].contains(specification.type) { specification.precision = nil }
            return try formatted(value, specification)
        default: throw fault("unsupported format character '\(specification.type ?? " ")'")
        }
    }

    /// The one character of a string of one, or the one of a number.
    private func character(_ value: Value) -> Unicode.Scalar? {
        if let integer = value.integer { return UInt32(exactly: integer).flatMap { Unicode.Scalar($0) } }
        guard let scalars = value.text?.unicodeScalars, scalars.count == 1 else { return nil }
        return scalars.first
    }
}
