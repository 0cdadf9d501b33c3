/// Answers taken out of generated text, as the suites' regular expressions do.
enum AnswerExtraction {
    /// The text of lm-evaluation-harness where nothing matches.
    static let invalid = PythonText("[invalid]")

    /// The first match of `The answer is (\-?[0-9\.\,]+).`: GSM8K's strict match after a chain of thought.
    ///
    /// The last dot is any character but a newline, so that "The answer is 18" at the end yields 1.
    static func strictNumber(_ text: PythonText) -> PythonText {
        let (lead, scalars) = (PythonText("The answer is "), text.scalars)
        var start = 0
        while let index = text.firstIndex(of: lead, from: start) {
            let first = index + lead.count
            let digits = first < scalars.count && scalars[first] == "-" ? first + 1 : first
            var end = digits
            while end < scalars.count, isNumberScalar(scalars[end]) { end += 1 }
            // The greedy run gives one character back where nothing, or a newline, follows.
            if end == scalars.count || scalars[end] == "\n" { end -= 1 }
            if end > digits { return PythonText(scalars: scalars[first..<end]) }
            start = index + 1
        }
        return invalid
    }

    /// The last match of `(-?[$0-9.,]{2,})|(-?[0-9]+)`: GSM8K's flexible extraction.
    static func lastNumber(_ text: PythonText) -> PythonText {
        let scalars = text.scalars
        var (last, index) = (invalid, 0)
        while index < scalars.count {
            let first = scalars[index] == "-" ? index + 1 : index
            var end = first
            while end < scalars.count, isNumberScalar(scalars[end]) || scalars[end] == "$" { end += 1 }
            let isNumber = end - first >= 2 || end - first == 1 && isDigit(scalars[first])
            if isNumber { last = PythonText(scalars: scalars[index..<end]) }
            // A run too short to match holds no start of another match.
            index = max(end, index + 1)
        }
        return last
    }

    /// A number as it is compared: without commas, dollar signs, the text before "#### ", and a final dot; lower case.
    static func comparable(_ text: PythonText) -> PythonText {
        var scalars = text.scalars.filter { $0 != "," && $0 != "$" }
        let mark = PythonText("#### ").scalars
        if let last = scalars.indices.last(where: { scalars[$0...].starts(with: mark) }) {
            scalars.removeFirst(last + mark.count)
        }
        // `\.$` matches before a final newline too.
        if scalars.last == "." {
            scalars.removeLast()
        } else if scalars.last == "\n", scalars.dropLast().last == "." {
            scalars.remove(at: scalars.count - 2)
        }
        return PythonText(scalars: scalars).lowercased
    }

    /// The letter A to D behind "The correct answer is", with parentheses before without; asterisks are dropped (LongBench v2).
    static func choiceLetter(_ text: PythonText) -> PythonText? {
        let text = PythonText(scalars: text.scalars.filter { $0 != "*" })
        for (lead, end) in [("The correct answer is (", ")"), ("The correct answer is ", "")] {
            var start = 0
            while let index = text.firstIndex(of: PythonText(lead), from: start) {
                let rest = text.scalars[(index + lead.unicodeScalars.count)...]
                if let letter = rest.first, ("A"..."D").contains(letter), rest.dropFirst().starts(with: end.unicodeScalars) {
                    return PythonText(scalars: [letter])
                }
                start = index + 1
            }
        }
        return nil
    }

    /// The value of the first run of digits as decimal digits without leading zeros (passkey, Mohtashami & Jaggi 2023).
    static func firstInteger(_ text: PythonText) -> [Int]? { text.decimalRuns.first.flatMap(integer) }

    /// The value of a text of digits, of any script, without leading zeros; nil where Python's `int` refuses it: above 4,300 digits.
    static func integer(_ text: PythonText) -> [Int]? {
        guard text.count > 0, text.count <= 4300, text.scalars.allSatisfy(PythonText.isDecimal) else { return nil }
        return Array(text.scalars.map { Int($0.properties.numericValue ?? 0) }.drop { $0 == 0 })
    }

    private static func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }

    private static func isNumberScalar(_ scalar: Unicode.Scalar) -> Bool { isDigit(scalar) || scalar == "." || scalar == "," }
}
