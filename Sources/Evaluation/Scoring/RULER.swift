/// RULER (Hsieh et al. 2024): thirteen tasks, scored as its `scripts/eval` does.
enum RULER {
    /// The tasks and the most tokens that each generates.
    static let tokens: KeyValuePairs<String, Int> = [
        "niah_single_1": 128, "niah_single_2": 128, "niah_single_3": 128, "niah_multikey_1": 128, "niah_multikey_2": 128,
        "niah_multikey_3": 128, "niah_multivalue": 128, "niah_multiquery": 128, "vt": 30, "cwe": 120, "fwe": 50, "qa_1": 32,
        "qa_2": 32,
    ]

    static let tasks = tokens.map(\.key).map { name in
        ScoringTask(
            name: "ruler:" + name, isDataset: false, referenceKey: "outputs", hasOneReference: false,
            aggregate: .percentOfShare(digits: 2)
        ) { (one, _) throws(Fault) in
            guard !one.references.isEmpty else { throw Fault(reason: "'outputs' of 'ruler:\(name)' is empty") }
            let found = StringMatch.found(one.prediction, one.references)
            // One of a question's answers suffices.
            if name.hasPrefix("qa_") { return ScoringTask.Score(value: found.contains(true) ? 1 : 0) }
            return ScoringTask.Score(value: Double(found.count { $0 }) / Double(found.count))
        }
    }
}
