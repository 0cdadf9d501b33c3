/// The share of references that occur in a prediction (RULER, Hsieh et al. 2024, `string_match_all` and `string_match_part`).
enum StringMatch {
    /// For each reference whether the prediction contains it, case aside; control characters of the prediction count as newlines.
    static func found(_ prediction: PythonText, _ references: [PythonText]) -> [Bool] {
        let printable = prediction.stripped.scalars.map { $0.value < 0x20 ? "\n" : $0 }
        let text = PythonText(scalars: printable).stripped.lowercased
        return references.map { text.contains($0.lowercased) }
    }
}
