/// F1 of two classes, 0 and 1, of which 1 is the positive one: scikit-learn's `f1_score` as lm-evaluation-harness calls it.
public enum BinaryF1 {
    /// The score of (right, predicted) pairs, 0 where neither has a 1.
    ///
    /// Throws ``ScoringError/line(_:reason:)`` at the first pair of another class.
    public static func score(_ pairs: [(right: Int, predicted: Int)]) throws(ScoringError) -> Double {
        if let odd = pairs.firstIndex(where: { !(0...1).contains($0.right) || !(0...1).contains($0.predicted) }) {
            throw .line(odd + 1, reason: "f1 needs two choices, found the choice \(max(pairs[odd].right, pairs[odd].predicted))")
        }
        let hits = pairs.count { $0.right == 1 && $0.predicted == 1 }
        let marked = pairs.reduce(0) { $0 + $1.right + $1.predicted }
        return marked == 0 ? 0 : Double(2 * hits) / Double(marked)
    }
}
