import Evaluation
import Foundation

/// A row for each model and cache.
extension LongContextSummary: ResultTable {
    public var caption: String {
        let lengths = Set(caches.flatMap { $0.groups.compactMap(\.group.length) }).sorted().map { "\($0)" }
        let place = lengths.isEmpty ? "" : " at \(lengths.joined(separator: ", ")) tokens"
        return
            "\(task)\(place); scores in percent with 95 % intervals, differences to the first paired over examples; evictions decide before the question unless query-aware"
    }

    public var columns: [TableColumn] {
        let rows = caches
        func percent(_ share: Double) -> String { String(format: "%.1f", 100 * share) }
        let groups = rows.flatMap { $0.groups.map(\.group) }
        func columns<Key: Hashable & Comparable>(_ key: (ExampleGroup) -> Key?) -> [TableColumn?] {
            let keys = Set(groups.compactMap(key)).sorted()
            return keys.count < 2
                ? []
                : keys.map { value in
                    TableColumn.filled("\(value)", rows) { row in
                        let own = row.groups.filter { key($0.group) == value }
                        let count = own.reduce(0) { $0 + $1.n }
                        return count == 0 ? nil : percent(own.reduce(0) { $0 + $1.mean * Double($1.n) } / Double(count))
                    }
                }
        }
        return
            ([
                TableColumn(title: "model", cells: rows.map(\.model), leading: true),
                TableColumn(title: "cache", cells: rows.map(\.label), leading: true),
                TableColumn.filled("score", rows) { percent($0.overall.mean) },
                TableColumn.filled("95 %", rows) { "\(percent($0.overall.low))–\(percent($0.overall.high))" },
                TableColumn.filled("n", rows) { "\($0.overall.n)" },
            ]
            + Set(rows.flatMap { ($0.further ?? [:]).keys }).sorted().map { name in
                TableColumn.filled(name, rows) { $0.further?[name].map(percent) }
            } + columns(\.dataset) + columns(\.length) + columns(\.words) + [
                TableColumn.filled("difference", rows) { row in
                    row.toReference.map { paired in
                        String(format: "%+.1f", 100 * paired.difference)
                            + (paired.standardError.map { String(format: " ± %.1f", 100 * $0) } ?? "")
                    }
                },
                TableColumn.filled("lost/gained", rows) { $0.toReference.map { "\($0.lost)/\($0.gained)" } },
                TableColumn.filled("bytes/token", rows) { String(format: "%.0f", $0.bytesPerToken) },
                TableColumn.filled("held", rows) { percent($0.heldShare) + " %" },
                TableColumn.filled("first token, ms", rows) { String(format: "%.0f", 1000 * $0.firstTokenMedian) },
                TableColumn.filled("compress, ms", rows) { $0.compressSeconds.map { String(format: "%.1f", 1000 * $0) } },
                TableColumn.filled("prefill tok/s", rows) { $0.prefillTokensPerSecond.map { String(format: "%.0f", $0) } },
                TableColumn.filled("decode tok/s", rows) { $0.decodeTokensPerSecond.map { String(format: "%.1f", $0) } },
            ]).compactMap { $0 }
    }

    /// The table for a terminal, and a second one of turns where the task has conversations.
    public var text: String {
        plain + (turnColumns.map { "\n\n" + $0.plain } ?? "")
    }

    public var csv: String {
        Self.csv(
            caches,
            [
                "model": { $0.model }, "cache": { $0.spec }, "n": { $0.overall.n }, "score": { $0.overall.mean },
                "low": { $0.overall.low }, "high": { $0.overall.high }, "difference": { $0.toReference?.difference },
                "standardError": { $0.toReference?.standardError }, "lost": { $0.toReference?.lost },
                "gained": { $0.toReference?.gained }, "bytesPerToken": { $0.bytesPerToken }, "heldShare": { $0.heldShare },
                "firstTokenSeconds": { $0.firstTokenMedian }, "compressSeconds": { $0.compressSeconds },
                "prefillTokensPerSecond": { $0.prefillTokensPerSecond }, "decodeTokensPerSecond": { $0.decodeTokensPerSecond },
            ])
    }
}
