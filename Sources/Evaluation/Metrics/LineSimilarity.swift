/// The similarity of a predicted line of code to the right one, in whole percent, as a share (LongBench's `code_sim_score`).
public enum LineSimilarity: String, Sendable, CaseIterable {
    /// The ratio of Python's `difflib`, that of `fuzzywuzzy` alone.
    case difflib
    /// The ratio of insertions and deletions, that of `fuzzywuzzy` beside `python-Levenshtein` (LongBench's issue 96).
    case indel

    /// The similarity of the first predicted line without a backtick, "#" and "//", or of the empty line where all have one.
    func score(_ prediction: PythonText, _ reference: PythonText) -> Double {
        let slashes = PythonText("//")
        let line =
            prediction.linesAfterNewlines.first {
                !$0.scalars.contains("`") && !$0.scalars.contains("#") && !$0.contains(slashes)
            } ?? PythonText("")
        if line == reference { return 1 }
        if line.count == 0 || reference.count == 0 { return 0 }
        let ratio =
            switch self {
            case .difflib: SequenceMatcher(line.scalars, reference.scalars).ratio
            case .indel: Self.indelRatio(line.scalars, reference.scalars)
            }
        return (100 * ratio).rounded(.toNearestOrEven) / 100
    }

    /// (n + m − d)/(n + m), where d counts the insertions and deletions that make one text of the other.
    private static func indelRatio(_ left: [Unicode.Scalar], _ right: [Unicode.Scalar]) -> Double {
        var above = [Int](repeating: 0, count: right.count + 1)
        var current = above
        for scalar in left {
            for (column, other) in right.enumerated() {
                current[column + 1] = scalar == other ? above[column] + 1 : max(above[column + 1], current[column])
            }
            swap(&above, &current)
        }
        let total = left.count + right.count
        return Double(2 * above[right.count]) / Double(total)
    }
}
