/// A task of a published suite: the rule by which its predictions are scored, and its mean as the suite rounds it.
public struct ScoringTask: Sendable {
    /// The parts of a score's rule beside the prediction.
    public struct Options: Sendable {
        /// The segmentation of Chinese tasks; without it they are refused.
        public var jieba: Jieba?
        /// The rule for lines of code.
        public var lineSimilarity: LineSimilarity
        /// The filters and metrics of a task file.
        public var harness: HarnessScoring?

        /// Options; by default without jieba's words and a task file.
        public init(jieba: Jieba? = nil, lineSimilarity: LineSimilarity = .difflib, harness: HarnessScoring? = nil) {
            self.jieba = jieba
            self.lineSimilarity = lineSimilarity
            self.harness = harness
        }
    }

    /// The mean of a task's scores, in its suite's unit and rounding.
    enum Aggregate: Sendable {
        /// Percent, 100·sum/count, rounded by Python's `round`: LongBench to two places, its second version to one, BABILong not at all.
        case percent(digits: Int?)
        /// Percent as RULER and the passkey's program compute it, sum/count·100.
        case percentOfShare(digits: Int?)
        /// A share from 0 to 1 without rounding.
        case share
    }

    /// The task's name in a line of predictions: a LongBench data set's, or `suite:task`.
    public let name: String
    /// Whether the name stands under `dataset` in a line, as LongBench's do, or under `task`.
    let isDataset: Bool
    /// The suite's own key for its references, taken where a line has no `answers`.
    let referenceKey: String
    /// Whether exactly one reference is expected.
    let hasOneReference: Bool
    /// Whether scoring needs the list of classes, `all_classes`.
    var needsClasses = false
    /// Whether scoring needs the `question`.
    var needsQuestion = false
    /// Whether scores have more values than 0 and 1.
    var isGraded: Bool { isDataset || name.hasPrefix("ruler:") }
    /// Further scores of a record, by their names.
    var details: [String: @Sendable (_ prediction: ScoringCase) -> Double] = [:]
    /// The rule of the mean.
    let aggregate: Aggregate
    /// The score of one prediction.
    let score: @Sendable (_ prediction: ScoringCase, _ options: Options) throws(Fault) -> Score

    /// A score from 0 to 1.
    public struct Score: Sendable, Equatable {
        /// The score.
        public var value: Double
        /// Whether the published scorer gives 0 for want of recursion depth, where ``value`` is the score without that limit
        /// (see ``ScoringReport/pastRecursionLimit``).
        public var isPastRecursionLimit = false
    }

    /// All tasks, in the order of their suites.
    public static let all: [ScoringTask] =
        LongBench.tasks + LongBench2.tasks + BABILong.tasks + RULER.tasks + GSM8K.tasks + Passkey.tasks

    /// The task of a name.
    static func named(_ name: String, isDataset: Bool) -> ScoringTask? {
        table[name].flatMap { $0.isDataset == isDataset ? $0 : nil }
    }

    /// The rule of a record's name: one of ``all``, or one for outputs generated here alone.
    static func rule(_ name: String) -> ScoringTask? {
        table[name] ?? [needle, harness, GSM8K.both, dialogue, unscored].first { $0.name == name }
    }

    private static let table = Dictionary(all.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })

    /// The mean of `scores`, which are at least one, in the suite's unit.
    func mean(_ scores: [Double]) -> Double {
        let (sum, count) = (scores.reduce(0, +), Double(scores.count))
        func rounded(_ value: Double, _ digits: Int?) -> Double {
            digits.map { PythonRounding.rounded(value, digits: $0) } ?? value
        }
        return switch aggregate {
        case .percent(let digits): rounded(100 * sum / count, digits)
        case .percentOfShare(let digits): rounded(sum / count * 100, digits)
        case .share: sum / count
        }
    }
}
