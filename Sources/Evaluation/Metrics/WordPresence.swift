/// The presence of an answer's words in a prediction.
enum WordPresence {
    /// Whether every word of `answer` is a word of the prediction, case aside; words are runs of letters, digits and underscores.
    static func hasAll(_ prediction: PythonText, _ answer: PythonText) -> Bool {
        words(answer).isSubset(of: words(prediction))
    }

    /// ROUGE-1 recall: the share of the reference's different words that the prediction has (Lin 2004, section 2); 0 without words.
    static func recall(_ prediction: PythonText, _ reference: PythonText) -> Double {
        let wanted = words(reference)
        return wanted.isEmpty ? 0 : Double(wanted.intersection(words(prediction)).count) / Double(wanted.count)
    }

    private static func words(_ text: PythonText) -> Set<PythonText> {
        Set(text.lowercased.scalars.split { !PythonText.isWordScalar($0) }.map { PythonText(scalars: $0) })
    }
}
