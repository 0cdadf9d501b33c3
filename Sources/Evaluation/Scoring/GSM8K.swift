/// GSM8K (Cobbe et al. 2021) after a chain of thought, scored by the two filters of lm-evaluation-harness's `gsm8k_cot`.
enum GSM8K {
    static let tasks = [
        task("gsm8k:strict", AnswerExtraction.strictNumber), task("gsm8k:flexible", AnswerExtraction.lastNumber),
    ]

    private static func task(
        _ name: String, _ extract: @escaping @Sendable (PythonText) -> PythonText
    ) -> ScoringTask {
        ScoringTask(name: name, isDataset: false, referenceKey: "answer", hasOneReference: true, aggregate: .share) { (one, _) in
            let predicted = AnswerExtraction.comparable(extract(one.prediction))
            return ScoringTask.Score(value: predicted == AnswerExtraction.comparable(target(one.references[0])) ? 1 : 0)
        }
    }

    /// The result behind the last "####" of a worked answer, or the whole of an answer without it.
    private static func target(_ answer: PythonText) -> PythonText {
        let mark = PythonText("####")
        let start = answer.scalars.indices.last { answer.scalars[$0...].starts(with: mark.scalars) }
        return PythonText(scalars: answer.scalars[(start.map { $0 + mark.count } ?? 0)...]).stripped
    }
}
