/// LongBench v2 (Bai et al. 2024): questions of four choices, whose letter is extracted as its `pred.py` does.
enum LongBench2 {
    static let tasks = [
        ScoringTask(
            name: "longbench2", isDataset: false, referenceKey: "answer", hasOneReference: true, aggregate: .percent(digits: 1)
        ) { (one, _) in
            ScoringTask.Score(value: AnswerExtraction.choiceLetter(one.prediction) == one.references[0] ? 1 : 0)
        }
    ]
}
