/// Whether a prediction names the right label and no other (BABILong, Kuratov et al. 2024, `compare_answers`).
enum LabelMatch {
    /// Whether the labels in the prediction's first sentence, less those in the question, are exactly the target's.
    ///
    /// A target with a comma and over three characters is a set of labels ("apple,milk"); shorter ones are labels ("n,e").
    static func isRight(_ prediction: PythonText, target: PythonText, question: PythonText, labels: [PythonText]) -> Bool {
        let (target, question) = (target.lowercased, question.lowercased)
        let sentence = firstSentence(prediction.lowercased)
        let found = Set(labels.map(\.lowercased).filter { sentence.contains($0) && !question.contains($0) })
        let wanted = target.scalars.contains(",") && target.count > 3 ? target.parts(at: ",") : [target]
        return found.count == wanted.count && wanted.allSatisfy(found.contains)
    }

    /// The text up to the first ".", "<context>" or "<example>", where models begin to make up the next one.
    private static func firstSentence(_ text: PythonText) -> PythonText {
        [".", "<context>", "<example>"].reduce(text) { text, end in
            PythonText(scalars: text.scalars[..<(text.firstIndex(of: PythonText(end)) ?? text.count)])
        }
    }
}
