/// Letter case, kinds of characters, and padding.
extension Renderer {
    static func isLower(_ scalar: Unicode.Scalar) -> Bool { scalar.properties.isLowercase }

    static func isUpper(_ scalar: Unicode.Scalar) -> Bool {
        scalar.properties.isUppercase || scalar.properties.generalCategory == .titlecaseLetter
    }

    /// `str.lower`: Greek's sigma has a form of its own at the end of a word.
    func lowered(_ text: String) -> String {
        guard text.unicodeScalars.contains("\u{3A3}") else { return text.lowercased() }
        let scalars = Array(text.unicodeScalars)
        func isCased(_ part: some Sequence<Unicode.Scalar>) -> Bool {
            part.first { !$0.properties.isCaseIgnorable }?.properties.isCased ?? false
        }
        var result = ""
        for (index, scalar) in scalars.enumerated() {
            if scalar == "\u{3A3}", isCased(scalars[..<index].reversed()), !isCased(scalars[(index + 1)...]) {
                result += "\u{3C2}"
            } else {
                result += scalar.properties.lowercaseMapping
            }
        }
        return result
    }

    /// `str.title`: a capital after everything that has no case.
    func titled(_ text: String) -> String {
        var result = ""
        var isInWord = false
        for scalar in text.unicodeScalars {
            result += isInWord ? scalar.properties.lowercaseMapping : scalar.properties.titlecaseMapping
            isInWord = scalar.properties.isCased
        }
        return result
    }

    /// The first character as a capital, the rest in lower case.
    func capitalized(_ text: String) -> String {
        guard let first = text.unicodeScalars.first else { return "" }
        return first.properties.titlecaseMapping + lowered(String(text.unicodeScalars.dropFirst()))
    }

    /// Python's questions about all characters of a string.
    func holds(_ name: String, of text: String) -> Bool {
        let scalars = text.unicodeScalars
        guard !scalars.isEmpty else { return false }
        switch name {
        case "isdigit":
            return scalars.allSatisfy { $0.properties.numericType == .decimal || $0.properties.numericType == .digit }
        case "isdecimal": return scalars.allSatisfy { $0.properties.numericType == .decimal }
        case "isnumeric": return scalars.allSatisfy { $0.properties.numericType != nil }
        case "isalpha": return scalars.allSatisfy(Self.isLetter)
        case "isalnum": return scalars.allSatisfy { Self.isLetter($0) || $0.properties.numericType != nil }
        case "isspace": return scalars.allSatisfy(\.isPythonSpace)
        case "isupper": return scalars.contains(where: Self.isUpper) && !scalars.contains(where: Self.isLower)
        case "islower": return scalars.contains(where: Self.isLower) && !scalars.contains(where: Self.isUpper)
        default: return false
        }
    }

    private static func isLetter(_ scalar: Unicode.Scalar) -> Bool {
        switch scalar.properties.generalCategory {
        case .uppercaseLetter, .lowercaseLetter, .titlecaseLetter, .modifierLetter, .otherLetter: true
        default: false
        }
    }

    /// `center`, `ljust`, `rjust` and `zfill`.
    func padded(_ text: String, _ arguments: CallArguments, _ name: String) throws(JinjaError) -> String {
        try arguments.check(name == "zfill" ? ["width"] : ["width", "fillchar"], of: name, self)
        let width = try arguments.integer(0, "width", self) ?? 0
        let fill = arguments.value(1, "fillchar")?.text ?? (name == "zfill" ? "0" : " ")
        guard fill.scalarCount == 1 else { throw fault("The fill character must be exactly one character long") }
        let count = text.scalarCount
        guard width > count else { return text }
        let missing = width - count
        if name == "center" { return try padded(text, fill, left: missing / 2 + (missing & width & 1), to: width) }
        guard name == "zfill", let sign = text.first, sign == "-" || sign == "+" else {
            return try padded(text, fill, left: name == "ljust" ? 0 : missing, to: width)
        }
        return String(sign) + (try padded(String(text.dropFirst()), fill, left: missing, to: width - 1))
    }

    /// The text in a field of `width` characters, `left` of the missing ones before it.
    func padded(_ text: String, _ fill: String, left: Int, to width: Int) throws(JinjaError) -> String {
        let missing = width - text.scalarCount
        guard missing > 0 else { return text }
        let (bytes, overflow) = missing.multipliedReportingOverflow(by: fill.utf8.count)
        try charge(bytes: overflow ? Int.max : bytes)
        return String(repeating: fill, count: left) + text + String(repeating: fill, count: missing - left)
    }
}
