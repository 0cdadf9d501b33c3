/// ROUGE-L at the level of summaries (Lin 2004, section 3.2), as the Python package `rouge` 1.0.1 computes it.
///
/// Departures of the package from the paper: sentences end at each ".", counts are of sets of words, and the union of longest
/// common subsequences is one set over all pairs of sentences. On a tie between subsequences the step goes to the left in the prediction.
///
/// ```
/// P = |∪ LCS(rᵢ, pⱼ)| / |set(prediction)|   R = |∪ LCS(rᵢ, pⱼ)| / |set(reference)|   F = 2·PR/(P + R + 1e-8)
/// ```
struct RougeL {
    /// F; 0 where either text has no sentence.
    private(set) var score = 0.0
    /// Steps of the longest way through a table of one pair of sentences: the package takes each in a recursive call.
    private(set) var recursionDepth = 0

    /// The deepest recursion at which LongBench's `eval.py` still gets a score for English; beyond it Python raises an error that
    /// LongBench turns into 0. The limit is Python's 1,000 frames less the callers' frames.
    static let recursionLimit = 990

    /// The score of texts whose words are separated by white space.
    init(_ prediction: PythonText, _ reference: PythonText) {
        var ids: [PythonText: Int] = [:]
        func sentences(_ text: PythonText) -> [[Int]] {
            text.parts(at: ".").filter { $0.count > 0 }.map { sentence in
                // A sentence of white space only has one word, the empty one.
                let words = sentence.words.isEmpty ? [PythonText("")] : sentence.words
                return words.map { word in
                    let id = ids[word] ?? ids.count
                    ids[word] = id
                    return id
                }
            }
        }
        let (predicted, referred) = (sentences(prediction), sentences(reference))
        guard !predicted.isEmpty, !referred.isEmpty else { return }
        var union: Set<Int> = []
        for sentence in referred {
            for other in predicted { recursionDepth = max(recursionDepth, Self.addSubsequence(of: sentence, other, to: &union)) }
        }
        let precision = Double(union.count) / Double(Set(predicted.joined()).count)
        let recall = Double(union.count) / Double(Set(referred.joined()).count)
        score = 2 * ((precision * recall) / (precision + recall + 1e-8))
    }

    /// Adds the words of a longest common subsequence to `union`; returns the steps taken.
    ///
    /// Only one bit of each cell is kept: whether the cell above is greater than the one to the left.
    private static func addSubsequence(of reference: [Int], _ prediction: [Int], to union: inout Set<Int>) -> Int {
        let (rows, columns) = (reference.count, prediction.count)
        let stride = (columns + 63) / 64
        var isAbove = [UInt64](repeating: 0, count: rows * stride)
        var above = [Int32](repeating: 0, count: columns + 1)
        var current = above
        for row in 0..<rows {
            for column in 0..<columns {
                if reference[row] == prediction[column] {
                    current[column + 1] = above[column] + 1
                } else if above[column + 1] > current[column] {
                    current[column + 1] = above[column + 1]
                    isAbove[row * stride + column / 64] |= 1 << UInt64(column % 64)
                } else {
                    current[column + 1] = current[column]
                }
            }
            swap(&above, &current)
        }
        var (row, column, steps) = (rows, columns, 0)
        while row > 0, column > 0 {
            steps += 1
            if reference[row - 1] == prediction[column - 1] {
                union.insert(reference[row - 1])
                (row, column) = (row - 1, column - 1)
            } else if isAbove[(row - 1) * stride + (column - 1) / 64] >> UInt64((column - 1) % 64) & 1 == 1 {
                row -= 1
            } else {
                column -= 1
            }
        }
        return steps
    }
}
