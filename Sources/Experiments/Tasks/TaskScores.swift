import Evaluation

/// A model's scores on a task through a cache, example by example.
struct TaskScores: Codable, Sendable, Hashable {
    /// The examples' names.
    var ids: [String]
    /// Their scores, from 0 to 1.
    var scores: [Double]
    /// Bytes that the cache holds for a token of the prompts; nil for choices, which have no cache.
    var heldBytesPerToken: Double?
    /// The median of seconds to the first token.
    var firstTokenSeconds: Double?
    /// Prompt tokens computed a second, and tokens generated a second after the first.
    var prefillTokensPerSecond: Double?, decodeTokensPerSecond: Double?
}

extension TaskScores {
    /// The scores of records, of which at least one has one.
    init(_ records: [ExampleRecord]) {
        let entry = LongContextSummary.Cache(model: "", spec: "", records: records)
        let scored = records.filter(\.isScored)
        (ids, scores) = (scored.map(\.id), scored.map(\.score))
        (heldBytesPerToken, firstTokenSeconds) = (entry.bytesPerToken, entry.firstTokenMedian)
        (prefillTokensPerSecond, decodeTokensPerSecond) = (entry.prefillTokensPerSecond, entry.decodeTokensPerSecond)
    }

    /// The scores of choices: 1 where the likeliest is right.
    init(_ score: ChoiceScore) {
        ids = score.results.indices.map { "\($0)" }
        scores = score.results.map { $0.chosen == $0.answer ? 1 : 0 }
    }

    /// The score of each example.
    var byID: [String: Double] { Dictionary(zip(ids, scores), uniquingKeysWith: { first, _ in first }) }
}
