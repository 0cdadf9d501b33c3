/// LongBench (Bai et al. 2023): 21 data sets, scored as its `eval.py` and `metrics.py` do.
enum LongBench {
    /// The metrics of LongBench, by its own names.
    enum Metric {
        case f1, chineseF1, rouge, chineseRouge, classification, count, retrieval, chineseRetrieval, codeSimilarity
    }

    /// The data sets and their metrics.
    private static let metrics: KeyValuePairs<String, Metric> = [
        "narrativeqa": .f1, "qasper": .f1, "multifieldqa_en": .f1, "multifieldqa_zh": .chineseF1, "hotpotqa": .f1,
        "2wikimqa": .f1, "musique": .f1, "dureader": .chineseRouge, "gov_report": .rouge, "qmsum": .rouge, "multi_news": .rouge,
        "vcsum": .chineseRouge, "trec": .classification, "triviaqa": .f1, "samsum": .rouge, "lsht": .classification,
        "passage_retrieval_en": .retrieval, "passage_count": .count, "passage_retrieval_zh": .chineseRetrieval,
        "lcc": .codeSimilarity, "repobench-p": .codeSimilarity,
    ]

    /// The data sets of few-shot examples, of whose predictions the first line alone counts.
    private static let firstLineOnly: Set = ["trec", "triviaqa", "samsum", "lsht"]

    static let tasks = metrics.map { name, metric in
        ScoringTask(
            name: name, isDataset: true, referenceKey: "answers", hasOneReference: false,
            needsClasses: metric == .classification, aggregate: .percent(digits: 2)
        ) { (one, options) throws(Fault) in
            var one = one
            if firstLineOnly.contains(name) { one.prediction = one.prediction.linesAfterNewlines[0] }
            // The best over the references.
            var best = ScoringTask.Score(value: 0)
            for reference in one.references {
                let score = try metric.score(one, reference, dataset: name, options)
                best.value = max(best.value, score.value)
                best.isPastRecursionLimit = best.isPastRecursionLimit || score.isPastRecursionLimit
            }
            return best
        }
    }

    /// The data sets that LongBench-E extends by records of more lengths.
    static let extended = [
        "qasper", "multifieldqa_en", "hotpotqa", "2wikimqa", "gov_report", "multi_news", "trec", "triviaqa", "samsum",
        "passage_count", "passage_retrieval_en", "lcc", "repobench-p",
    ]

    /// Whether a data set's prompts may be put into a chat template: not those of few-shot examples and of code.
    static func isChat(_ name: String) -> Bool { !firstLineOnly.contains(name) && name != "lcc" && name != "repobench-p" }

    /// LongBench-E's group of a context of so many words.
    static func group(_ words: Int) -> String { groups.first { $0.words.contains(words) }?.name ?? "8k+" }

    private static let groups: [(name: String, words: Range<Int>)] = [
        ("0-4k", .min..<4000), ("4-8k", 4000..<8000), ("8k+", 8000..<Int.max),
    ]

    /// Whether a data set is scored on jieba's words.
    static func isChinese(_ name: String) -> Bool {
        metrics.contains { $0.key == name && ($0.value == .chineseF1 || $0.value == .chineseRouge) }
    }

    /// The means over examples of fewer than 4,000 words, fewer than 8,000, and more, as LongBench-E reports them; nil where a
    /// group is empty.
    static func means(_ scores: [(score: Double, length: Int)]) -> [(group: String, mean: Double?)] {
        groups.map { name, words in
            let group = scores.filter { words.contains($0.length) }.map(\.score)
            let mean = group.isEmpty ? nil : PythonRounding.numpyRounded(100 * PythonRounding.numpyMean(group), digits: 2)
            return (name, mean)
        }
    }
}

extension LongBench.Metric {
    /// The score of a prediction against one reference.
    func score(
        _ one: ScoringCase, _ reference: PythonText, dataset: String, _ options: ScoringTask.Options
    ) throws(Fault) -> ScoringTask.Score {
        let prediction = one.prediction
        func jieba() throws(Fault) -> Jieba {
            guard let jieba = options.jieba else {
                throw Fault(
                    reason: "'\(dataset)' is scored on jieba's words; name the folder of a jieba distribution with --jieba")
            }
            return jieba
        }
        func share(_ label: String) throws(Fault) -> Double {
            guard let number = NumberShare.number(after: label, in: reference) else {
                throw Fault(reason: "the answer '\(reference.string.prefix(40))' of '\(dataset)' has no number behind '\(label)'")
            }
            return NumberShare.score(prediction, number: number)
        }
        switch self {
        case .f1: return ScoringTask.Score(value: WordF1.score(prediction, reference))
        case .chineseF1:
            return ScoringTask.Score(value: WordF1.chineseScore(prediction, reference, jieba: try jieba()))
        case .rouge:
            let rouge = RougeL(prediction, reference)
            return .init(value: rouge.score, isPastRecursionLimit: rouge.recursionDepth > RougeL.recursionLimit)
        case .chineseRouge:
            let words = try jieba()
            func spaced(_ text: PythonText) -> PythonText {
                PythonText(scalars: words.words(text).map(\.scalars).joined(separator: [" "]))
            }
            let rouge = RougeL(spaced(prediction), spaced(reference))
            // One more function of LongBench's calls the package.
            return .init(value: rouge.score, isPastRecursionLimit: rouge.recursionDepth > RougeL.recursionLimit - 1)
        case .classification:
            return ScoringTask.Score(value: Classification.score(prediction, reference, classes: one.classes))
        case .count: return ScoringTask.Score(value: NumberShare.score(prediction, number: reference))
        case .retrieval: return ScoringTask.Score(value: try share("Paragraph "))
        case .chineseRetrieval: return ScoringTask.Score(value: try share("段落"))
        case .codeSimilarity:
            return ScoringTask.Score(value: options.lineSimilarity.score(prediction, reference))
        }
    }
}
