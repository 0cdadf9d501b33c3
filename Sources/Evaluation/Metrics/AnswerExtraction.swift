/// Answers extracted from generated text, as the suites' regular expressions extract them.
enum AnswerExtraction {
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
}
