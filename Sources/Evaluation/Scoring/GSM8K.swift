/// GSM8K (Cobbe et al. 2021) after a chain of thought, scored by the two filters of lm-evaluation-harness's `gsm8k_cot`.
enum GSM8K {
    static let tasks = [
        task("gsm8k:strict", AnswerExtraction.strictNumber), task("gsm8k:flexible", AnswerExtraction.lastNumber),
    ]

    /// The strict score of an output, with the flexible one under the name that the harness gives its filter.
    static let both = ScoringTask(
        name: "gsm8k", isDataset: false, referenceKey: "answer", hasOneReference: true,
        details: ["flexible-extract": { isRight($0, AnswerExtraction.lastNumber) ? 1 : 0 }], aggregate: .share
    ) { (one, _) in
        ScoringTask.Score(value: isRight(one, AnswerExtraction.strictNumber) ? 1 : 0)
    }

    private static func task(
        _ name: String, _ extract: @escaping @Sendable (PythonText) -> PythonText
    ) -> ScoringTask {
        ScoringTask(name: name, isDataset: false, referenceKey: "answer", hasOneReference: true, aggregate: .share) { (one, _) in
            ScoringTask.Score(value: isRight(one, extract) ? 1 : 0)
        }
    }

    private static func isRight(_ one: ScoringCase, _ extract: (PythonText) -> PythonText) -> Bool {
        let predicted = AnswerExtraction.comparable(extract(one.prediction))
        return predicted == AnswerExtraction.comparable(target(one.references[0]))
    }

    /// The result behind the last "####" of a worked answer, or the whole of an answer without it.
    private static func target(_ answer: PythonText) -> PythonText {
        let mark = PythonText("####")
        let start = answer.scalars.indices.last { answer.scalars[$0...].starts(with: mark.scalars) }
        return PythonText(scalars: answer.scalars[(start.map { $0 + mark.count } ?? 0)...]).stripped
    }
}
