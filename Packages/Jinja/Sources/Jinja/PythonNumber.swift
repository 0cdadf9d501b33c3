import Foundation

/// Numbers from text, and rounding, as Python does it.
enum PythonNumber {
    /// Python's `int(text, base)`; nil where that fails, or where 64 bits are too few.
    static func integer(_ text: String, base: Int) -> Int? {
        guard base == 0 || (2...36).contains(base) else { return nil }
        var digits = trimmed(text)
        var sign = ""
        if let first = digits.first, first == "-" || first == "+" {
            sign = String(digits.removeFirst())
        }
        var radix = base
        for (prefix, value) in [("0x", 16), ("0o", 8), ("0b", 2)] where base == 0 || base == value {
            guard digits.lowercased().hasPrefix(prefix) else { continue }
            digits.removeFirst(2)
            if digits.first == "_" { digits.removeFirst() }
            radix = value
        }
        guard let plain = withoutUnderscores(digits), plain.first != "-", plain.first != "+" else { return nil }
        return Int(sign + plain, radix: radix == 0 ? 10 : radix)
    }

    /// Python's `float(text)`; nil where that fails.
    static func float(_ text: String) -> Double? {
        let text = trimmed(text)
        switch text.lowercased() {
        case "inf", "+inf", "infinity", "+infinity": return .infinity
        case "-inf", "-infinity": return -.infinity
        case "nan", "+nan", "-nan": return .nan
        default: break
        }
        guard text.unicodeScalars.allSatisfy({ $0.isASCIIDigit || "+-.eE_".unicodeScalars.contains($0) }) else { return nil }
        return withoutUnderscores(text).flatMap { Double($0) }
    }

    private static func trimmed(_ text: String) -> String {
        var view = text.unicodeScalars[...]
        while let first = view.first, first.isPythonSpace { view.removeFirst() }
        while let last = view.last, last.isPythonSpace { view.removeLast() }
        return String(view)
    }

    /// The text without single underscores between digits; nil where others are.
    private static func withoutUnderscores(_ text: String) -> String? {
        guard !text.hasPrefix("_"), !text.hasSuffix("_"), !text.contains("__") else { return nil }
        return text.filter { $0 != "_" }
    }

    static func powerOfTen(_ exponent: Int) -> Double { pow(10, Double(exponent)) }

    /// Python's `round(value, precision)`: to the nearest decimal, halves to even.
    static func rounded(_ value: Double, _ precision: Int) -> Double {
        guard value.isFinite else { return value }
        if precision == 0 { return value.rounded(.toNearestOrEven) }
        if precision > 0 { return Double(String(format: "%.\(precision)f", value)) ?? value }
        let scale = powerOfTen(-precision)
        return (value / scale).rounded(.toNearestOrEven) * scale
    }
}
