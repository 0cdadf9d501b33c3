/// The share of a prediction's numbers that are the right one (LongBench's `count_score` and `retrieval_score`).
enum NumberShare {
    /// The share of runs of digits equal to `number`, as strings; 0 without digits.
    static func score(_ prediction: PythonText, number: PythonText) -> Double {
        let runs = prediction.decimalRuns
        return runs.isEmpty ? 0 : Double(runs.count { $0 == number }) / Double(runs.count)
    }

    /// The run of digits behind the first `label` in `reference` with digits behind it, such as 12 in "Paragraph 12".
    static func number(after label: String, in reference: PythonText) -> PythonText? {
        let label = PythonText(label)
        var start = 0
        while let index = reference.firstIndex(of: label, from: start) {
            let digits = reference.scalars[(index + label.count)...].prefix(while: PythonText.isDecimal)
            if !digits.isEmpty { return PythonText(scalars: digits) }
            start = index + 1
        }
        return nil
    }
}
