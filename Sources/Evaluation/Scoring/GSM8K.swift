/// GSM8K (Cobbe et al. 2021) after a chain of thought, scored by the two filters of lm-evaluation-harness's `gsm8k_cot`.
enum GSM8K {
    static let tasks = [
        task("gsm8k:strict", "accuracy"), task("gsm8k:flexible", "exact_match,flexible-extract"),
    ]

    /// The strict score of an output, with the flexible one under the name that the harness gives its filter.
    static let both = task(
        "gsm8k", "accuracy", details: ["flexible-extract": { score($0, "exact_match,flexible-extract") }])

    /// The filters and the metric of `gsm8k_cot`.
    static let scoring: HarnessScoring = {
        let source = #"""
            {
              "filter_list": [
                {"name": "strict-match", "filter": [{"function": "regex", "regex_pattern": "The answer is (\\-?[0-9\\.\\,]+)."}]},
                {"name": "flexible-extract", "filter": [
                  {"function": "regex", "group_select": -1, "regex_pattern": "(-?[$0-9.,]{2,})|(-?[0-9]+)"}
                ]}
              ],
              "metric_list": [
                {"metric": "exact_match", "ignore_case": true, "regexes_to_ignore": [",", "\\$", "(?s).*#### ", "\\.$"]}
              ]
            }
            """#
        guard let scoring = HarnessScoring(source: source) else { preconditionFailure("GSM8K: its filters cannot be read") }
        return scoring
    }()

    private static func task(
        _ name: String, _ key: String, details: [String: @Sendable (ScoringCase) -> Double] = [:]
    ) -> ScoringTask {
        ScoringTask(
            name: name, isDataset: false, referenceKey: "answer", hasOneReference: true, details: details, aggregate: .share
        ) { (one, _) in ScoringTask.Score(value: score(one, key)) }
    }

    /// The score of `key` among those of both filters.
    private static func score(_ one: ScoringCase, _ key: String) -> Double {
        scoring.scores(one.prediction.string, references: [target(one.references[0]).string])[key] ?? 0
    }

    /// The result behind the last "####" of a worked answer, or the whole of an answer without it.
    private static func target(_ answer: PythonText) -> PythonText {
        let mark = PythonText("####")
        let start = answer.scalars.indices.last { answer.scalars[$0...].starts(with: mark.scalars) }
        return PythonText(scalars: answer.scalars[(start.map { $0 + mark.count } ?? 0)...]).stripped
    }
}
