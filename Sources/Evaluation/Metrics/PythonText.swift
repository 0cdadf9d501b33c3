/// A string with Python's semantics: Unicode scalars, compared one by one.
///
/// The published scorers are Python programs. Swift's `String` compares by canonical equivalence, treats "\r\n" as one character and
/// lower-cases "Σ" without regard to its place; each of these changes scores.
struct PythonText: Hashable, Sendable {
    let scalars: [Unicode.Scalar]

    init(_ text: String) { scalars = Array(text.unicodeScalars) }

    init(scalars: some Sequence<Unicode.Scalar>) { self.scalars = Array(scalars) }

    var count: Int { scalars.count }

    /// The text as a Swift string.
    var string: String {
        var view = String.UnicodeScalarView()
        view.append(contentsOf: scalars)
        return String(view)
    }

    /// `str.lower()`: full case mappings, with a final sigma where Unicode's Final_Sigma condition holds.
    var lowercased: PythonText {
        var result: [Unicode.Scalar] = []
        result.reserveCapacity(scalars.count)
        for (index, scalar) in scalars.enumerated() {
            if scalar.isASCII {
                result.append(("A"..."Z").contains(scalar) ? Unicode.Scalar(UInt8(scalar.value + 32)) : scalar)
            } else if scalar == "Σ" {
                result.append(isFinalSigma(index) ? "ς" : "σ")
            } else {
                result.append(contentsOf: scalar.properties.lowercaseMapping.unicodeScalars)
            }
        }
        return PythonText(scalars: result)
    }

    /// Whether the last cased scalar before `index`, case-ignorable ones skipped, exists, and the next one does not.
    private func isFinalSigma(_ index: Int) -> Bool {
        func isCased(_ scalar: Unicode.Scalar?) -> Bool { scalar?.properties.isCased ?? false }
        return isCased(scalars[..<index].last { !$0.properties.isCaseIgnorable })
            && !isCased(scalars[(index + 1)...].first { !$0.properties.isCaseIgnorable })
    }

    /// `str.split()`: the runs between white space.
    var words: [PythonText] { scalars.split(whereSeparator: Self.isSpace).map { PythonText(scalars: $0) } }

    /// `str.split(separator)`: the parts between separators, empty ones included.
    func parts(at separator: Unicode.Scalar) -> [PythonText] {
        scalars.split(separator: separator, omittingEmptySubsequences: false).map { PythonText(scalars: $0) }
    }

    /// `str.strip()`.
    var stripped: PythonText {
        guard let first = scalars.firstIndex(where: { !Self.isSpace($0) }),
            let last = scalars.lastIndex(where: { !Self.isSpace($0) })
        else { return PythonText(scalars: []) }
        return PythonText(scalars: scalars[first...last])
    }

    /// The white space that `str.rstrip()` takes, in scalars.
    var trailingSpaces: Int { count - (scalars.lastIndex { !Self.isSpace($0) }.map { $0 + 1 } ?? 0) }

    /// `str.lstrip("\n").split("\n")`: the lines after leading newlines, at least one.
    var linesAfterNewlines: [PythonText] { PythonText(scalars: scalars.drop { $0 == "\n" }).parts(at: "\n") }

    /// The index of the first occurrence of `other` at or after `start`; the empty text occurs everywhere.
    func firstIndex(of other: PythonText, from start: Int = 0) -> Int? {
        guard let first = other.scalars.first else { return start }
        var index = start
        while index + other.count <= count {
            if scalars[index] == first, scalars[index..<index + other.count].elementsEqual(other.scalars) { return index }
            index += 1
        }
        return nil
    }

    /// `str.replace(old, new)` of an `old` that is not empty.
    func replacing(_ old: PythonText, with new: PythonText) -> PythonText {
        var (result, start) = ([Unicode.Scalar](), 0)
        while let index = firstIndex(of: old, from: start) {
            result += scalars[start..<index] + new.scalars
            start = index + old.count
        }
        return PythonText(scalars: result + scalars[start...])
    }

    /// `other in str`.
    func contains(_ other: PythonText) -> Bool { firstIndex(of: other) != nil }

    /// `re.findall(r"\d+", str)`.
    var decimalRuns: [PythonText] { scalars.split { !Self.isDecimal($0) }.map { PythonText(scalars: $0) } }

    /// `str.isspace()` and `\s`: bidirectional classes WS, B and S as well as Zs, hence U+001C to U+001F too.
    static func isSpace(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.value {
        case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000: true
        default: false
        }
    }

    /// `\d`: decimal digits of any script.
    static func isDecimal(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII ? ("0"..."9").contains(scalar) : scalar.properties.generalCategory == .decimalNumber
    }

    /// `\w`: letters, anything with a numeric value, and the underscore.
    static func isWordScalar(_ scalar: Unicode.Scalar) -> Bool {
        if scalar.isASCII {
            return ("a"..."z").contains(scalar) || ("A"..."Z").contains(scalar) || ("0"..."9").contains(scalar) || scalar == "_"
        }
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: return true
        default: return scalar.properties.numericType != nil
        }
    }

    /// `string.punctuation`: the 32 of ASCII.
    static func isASCIIPunctuation(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar {
        case "!"..."/", ":"..."@", "["..."`", "{"..."~": true
        default: false
        }
    }
}
