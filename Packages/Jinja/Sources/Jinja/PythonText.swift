/// Python's `str()` and `repr()`.
extension Renderer {
    /// The value as `{{ value }}` prints it.
    func string(_ value: Value) throws(JinjaError) -> String {
        switch value {
        case .string(let text): return text
        case .undefined:
            try refuseUndefined(value)
            return ""
        default: return try representation(value)
        }
    }

    /// Python's `repr()`.
    func representation(_ value: Value) throws(JinjaError) -> String {
        var text = ""
        try write(value, into: &text, level: 0)
        try charge(bytes: text.utf8.count)
        return text
    }

    private func write(_ value: Value, into text: inout String, level: Int) throws(JinjaError) {
        try charge()
        guard level <= JinjaLimits.valueDepth, text.utf8.count <= limits.stringBytes else {
            throw limit("a value too deep or too large to print")
        }
        switch value {
        case .undefined: text += "Undefined"
        case .none: text += "None"
        case .bool(let value): text += value ? "True" : "False"
        case .int(let value): text += String(value)
        case .double(let value): text += PythonFloat.representation(value)
        case .string(let value):
            try charge(bytes: value.utf8.count)
            try charge(scan: value)
            Self.quote(value, into: &text)
        case .list(let items): try write(items.elements, "[", "]", into: &text, level: level)
        case .tuple(let items): try write(items.elements, "(", items.count == 1 ? ",)" : ")", into: &text, level: level)
        case .dictionary(let dictionary):
            try write(zip(dictionary.keys, dictionary.values), into: &text, level: level)
        case .view(let view):
            text += view.type + "("
            try write(view.items.elements, "[", "]", into: &text, level: level)
            text += ")"
        case .range(let range):
            text += "range(\(range.start), \(range.stop)" + (range.step == 1 ? ")" : ", \(range.step))")
        case .namespace(let number):
            text += "<Namespace "
            let members = namespaces[number].map { (Value.string($0.name), $0.value) }
            try write(members, into: &text, level: level)
            text += ">"
        case .loop(let loop): text += "<LoopContext \(loop.index + 1)/\(loop.items.count)>"
        case .macro(let number): text += "<Macro '\(macros[number].macro.name)'>"
        case .iterator(let iterator): text += "<\(iterator.type) object>"
        case .method(let method): text += "<built-in method \(method.name) of \(method.receiver.type) object>"
        case .function(let function): text += "<function \(function.rawValue)>"
        }
    }

    private func write(
        _ elements: [Value], _ open: String, _ close: String, into text: inout String, level: Int
    ) throws(JinjaError) {
        text += open
        for (index, element) in elements.enumerated() {
            if index > 0 { text += ", " }
            try write(element, into: &text, level: level + 1)
        }
        text += close
    }

    private func write(
        _ members: some Sequence<(Value, Value)>, into text: inout String, level: Int
    ) throws(JinjaError) {
        text += "{"
        var isFirst = true
        for (key, value) in members {
            if !isFirst { text += ", " }
            isFirst = false
            try write(key, into: &text, level: level + 1)
            text += ": "
            try write(value, into: &text, level: level + 1)
        }
        text += "}"
    }

    /// A string in quotes, as `repr()` writes it.
    private static func quote(_ value: String, into text: inout String) {
        let quote: Unicode.Scalar = value.utf8.contains(0x27) && !value.utf8.contains(0x22) ? "\"" : "'"
        var view = String.UnicodeScalarView()
        view.append(quote)
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\n": view.append(contentsOf: "\\n".unicodeScalars)
            case "\r": view.append(contentsOf: "\\r".unicodeScalars)
            case "\t": view.append(contentsOf: "\\t".unicodeScalars)
            case "\\", quote:
                view.append("\\")
                view.append(scalar)
            case _ where !isPrintable(scalar):
                let (letter, width) = scalar.value < 0x100 ? ("x", 2) : scalar.value < 0x10000 ? ("u", 4) : ("U", 8)
                let digits = String(scalar.value, radix: 16)
                let zeros = String(repeating: "0", count: width - digits.count)
                view.append(contentsOf: "\\\(letter)\(zeros)\(digits)".unicodeScalars)
            default: view.append(scalar)
            }
        }
        view.append(quote)
        text.unicodeScalars.append(contentsOf: view)
    }

    private static func isPrintable(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII { return scalar.value >= 0x20 && scalar.value != 0x7F }
        switch scalar.properties.generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator, .spaceSeparator:
            return false
        default: return true
        }
    }
}

/// Floats as Python writes them.
enum PythonFloat {
    /// The shortest text that reads back as `value`: exponents from 1e16 and below 1e-4.
    static func representation(_ value: Double) -> String {
        guard value.isFinite else { return value.isNaN ? "nan" : value < 0 ? "-inf" : "inf" }
        if value == 0 { return value.sign == .minus ? "-0.0" : "0.0" }
        let (digits, exponent) = digits(of: value.magnitude)
        let sign = value < 0 ? "-" : ""
        if exponent < -4 || exponent >= 16 {
            let fraction = digits.count > 1 ? "." + digits.dropFirst() : ""
            let power = String(abs(exponent))
            return "\(sign)\(digits.prefix(1))\(fraction)e\(exponent < 0 ? "-" : "+")\(power.count < 2 ? "0" : "")\(power)"
        }
        if exponent < 0 { return sign + "0." + String(repeating: "0", count: -exponent - 1) + digits }
        if digits.count <= exponent + 1 {
            return sign + digits + String(repeating: "0", count: exponent + 1 - digits.count) + ".0"
        }
        return "\(sign)\(digits.prefix(exponent + 1)).\(digits.dropFirst(exponent + 1))"
    }

    /// The shortest digits of a positive number, and the power of ten of the first.
    private static func digits(of value: Double) -> (String, exponent: Int) {
        let parts = value.description.split(separator: "e")
        var exponent = parts.count > 1 ? Int(parts[1]) ?? 0 : 0
        let number = parts[0].split(separator: ".", omittingEmptySubsequences: false)
        var digits = String(number[0]) + (number.count > 1 ? String(number[1]) : "")
        exponent += number[0].count - 1
        while digits.first == "0", digits.count > 1 {
            digits.removeFirst()
            exponent -= 1
        }
        while digits.last == "0", digits.count > 1 { digits.removeLast() }
        return (digits, exponent)
    }
}
