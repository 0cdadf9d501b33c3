import JSON

/// The scores of a file of predictions, one a case, and each task's mean.
public struct ScoringReport: Sendable {
    /// A task's mean.
    public struct Task: Sendable {
        /// The task's name.
        public var name: String
        /// Cases scored.
        public var count: Int
        /// The mean in the suite's unit and rounding: a share from 0 to 1 for GSM8K, percent for all others.
        public var mean: Double
        /// LongBench-E's means by length, where each case has its length; nil where a group is empty.
        public var byLength: [(group: String, mean: Double?)]
    }

    /// The cases' ids and scores from 0 to 1, in the order of the file.
    public private(set) var scores: [(id: JSONValue, score: ScoringTask.Score)] = []
    /// The tasks, in the order in which they first occur.
    public private(set) var tasks: [Task] = []

    /// Cases of ROUGE whose sentences are too long for `rouge` 1.0.1, which recurses once a word: LongBench gives them 0, and they are
    /// scored here.
    public var pastRecursionLimit: Int { scores.count { $0.score.isPastRecursionLimit } }

    /// Scores `cases`; throws ``ScoringError/line(_:reason:)`` for a case that cannot be scored.
    public init(_ cases: [ScoringCase], options: ScoringTask.Options) throws(ScoringError) {
        var groups: [(task: ScoringTask, scores: [(score: Double, length: Int?)])] = []
        var places: [String: Int] = [:]
        for one in cases {
            let score: ScoringTask.Score
            do throws(Fault) { score = try one.task.score(one, options) } catch {
                throw .line(one.line, reason: error.reason)
            }
            scores.append((one.id, score))
            let place = places[one.task.name] ?? groups.count
            if place == groups.count {
                places[one.task.name] = place
                groups.append((one.task, []))
            }
            groups[place].scores.append((score.value, one.length))
        }
        tasks = groups.map { task, scores in
            let lengths = scores.compactMap(\.length)
            let byLength =
                task.isDataset && lengths.count == scores.count
                ? LongBench.means(zip(scores, lengths).map { ($0.score, $1) }) : []
            return Task(name: task.name, count: scores.count, mean: task.mean(scores.map(\.score)), byLength: byLength)
        }
    }
}
