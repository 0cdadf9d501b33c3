import Evaluation
import Foundation

extension LongContextSummary {
    /// A conversation's turn of one number, over all conversations of a model and cache.
    public struct Turn: Codable, Sendable, Equatable {
        /// The number, from 1, and the conversations with such a turn.
        public var turn: Int, conversations: Int
        /// The score; nil where no conversation's turn has references.
        public var score: WilsonInterval?
        /// The means of a prompt's tokens, which are the conversation's so far, and of those found in the prefix cache.
        public var promptTokens: Double, cachedTokens: Double
        /// The median of seconds to the first token.
        public var firstTokenMedian: Double
    }
}

extension [LongContextSummary.Turn] {
    /// The turns of `records`, by their numbers; nil where none is a turn.
    init?(_ records: [ExampleRecord]) {
        let numbered = records.filter { $0.group.turn != nil }
        if numbered.isEmpty { return nil }
        self = Dictionary(grouping: numbered) { $0.group.turn ?? 0 }.sorted { $0.key < $1.key }.map { number, records in
            func mean(_ value: (ExampleRecord) -> Int) -> Double {
                Double(records.reduce(0) { $0 + value($1) }) / Double(records.count)
            }
            let scores = records.filter(\.isScored).map(\.score)
            return LongContextSummary.Turn(
                turn: number, conversations: records.count, score: scores.isEmpty ? nil : WilsonInterval(scores),
                promptTokens: mean(\.promptTokens), cachedTokens: mean(\.cachedTokens),
                firstTokenMedian: records.map(\.prefillSeconds).median)
        }
    }
}

extension LongContextSummary {
    /// The table of conversations turn by turn, a row for each turn of a model and cache; nil where the task has none.
    var turnColumns: [TableColumn]? {
        let rows = caches.flatMap { cache in (cache.turns ?? []).map { (cache: cache, turn: $0) } }
        guard !rows.isEmpty else { return nil }
        func percent(_ share: Double) -> String { String(format: "%.1f", 100 * share) }
        return [
            TableColumn(title: "model", cells: rows.map { $0.cache.model }, leading: true),
            TableColumn(title: "cache", cells: rows.map { $0.cache.label }, leading: true),
            TableColumn.filled("turn", rows) { "\($0.turn.turn)" },
            TableColumn.filled("score", rows) { $0.turn.score.map { percent($0.mean) } },
            TableColumn.filled("95 %", rows) { $0.turn.score.map { "\(percent($0.low))–\(percent($0.high))" } },
            TableColumn.filled("n", rows) { "\($0.turn.conversations)" },
            TableColumn.filled("prompt tokens", rows) { String(format: "%.0f", $0.turn.promptTokens) },
            TableColumn.filled("cached tokens", rows) { String(format: "%.0f", $0.turn.cachedTokens) },
            TableColumn.filled("first token, ms", rows) { String(format: "%.0f", 1000 * $0.turn.firstTokenMedian) },
        ].compactMap { $0 }
    }
}
