extension ScoringTask {
    /// The rule of a task file of lm-evaluation-harness, whose filters and metrics are among the options.
    ///
    /// Not among ``all``: predictions made elsewhere come without the task file.
    static let harness = ScoringTask(
        name: "task", isDataset: false, referenceKey: "answers", hasOneReference: false, aggregate: .share
    ) { (one, options) throws(Fault) in
        guard let harness = options.harness else { throw Fault(reason: "the task file's filters and metrics are missing") }
        let scores = harness.scores(one.prediction.string, references: one.references.map(\.string))
        return Score(value: scores["accuracy"] ?? 0)
    }
}
