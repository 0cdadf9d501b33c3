/// RULER (Hsieh et al. 2024): thirteen tasks, scored as its `scripts/eval` does.
enum RULER {
    private static let names = [
        "niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3",
        "niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe", "qa_1", "qa_2",
    ]

    static let tasks = names.map { name in
        ScoringTask(
            name: "ruler:" + name, isDataset: false, referenceKey: "outputs", hasOneReference: false,
            aggregate: .percentOfShare(digits: 2)
        ) { (one, _) throws(ScoringTask.Refusal) in
            guard !one.references.isEmpty else { throw ScoringTask.Refusal(reason: "'outputs' of 'ruler:\(name)' is empty") }
            let found = StringMatch.found(one.prediction, one.references)
            // One of a question's answers suffices.
            if name.hasPrefix("qa_") { return ScoringTask.Score(value: found.contains(true) ? 1 : 0) }
            return ScoringTask.Score(value: Double(found.count { $0 }) / Double(found.count))
        }
    }
}
