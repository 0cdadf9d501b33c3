extension ScoringTask {
    /// A turn of a dialogue: right where a reference occurs in the answer, case aside, as RULER's questions of documents are scored.
    static let dialogue = ScoringTask(
        name: "dialogue", isDataset: false, referenceKey: "references", hasOneReference: false, aggregate: .share
    ) { (one, _) in
        Score(value: StringMatch.found(one.prediction, one.references).contains(true) ? 1 : 0)
    }

    /// An output without references, which has no score.
    static let unscored = ScoringTask(
        name: "unscored", isDataset: false, referenceKey: "references", hasOneReference: false, aggregate: .share
    ) { (_, _) throws(Fault) in
        throw Fault(reason: "'unscored' has no scores")
    }
}
