extension ScoringTask {
    /// The needle in a haystack: right where all words of the first reference, the answer, occur; ROUGE-1 recall of the second, the
    /// sentence, beside that.
    ///
    /// Not among ``all``: the original's score is a model's opinion, so that no predictions made elsewhere are scored by this rule.
    static let needle = ScoringTask(
        name: "needle", isDataset: false, referenceKey: "answers", hasOneReference: false,
        details: ["rouge1Recall": { one in WordPresence.recall(one.prediction, one.references[1]) }], aggregate: .share
    ) { (one, _) in
        Score(value: WordPresence.hasAll(one.prediction, one.references[0]) ? 1 : 0)
    }
}
