import Evaluation
import Foundation

extension TaskTable {
    public var caption: String {
        "\(specs.joined(separator: "; ")); scores in percent with Wilson's 95 % intervals, differences to the uncompressed parent paired over "
            + "examples, ± half of a 95 % interval. Bits per byte: \(text). Evictions decide before the question unless queryAware."
    }

    /// The sentences about where a task and bits per byte disagree: the largest few, or that they agree.
    public var verdicts: [String] {
        guard !disagreements.isEmpty else {
            return [
                toldApart == 0
                    ? "No two caches are told apart by both a task and bits per byte: more trials would tell."
                    : "Tasks and bits per byte agree about which cache is better in every comparison that both tell apart (\(toldApart))."
            ]
        }
        let shown = disagreements.prefix(8).map(\.description)
        let head =
            "Tasks and bits per byte disagree about which cache is better in \(disagreements.count) of \(toldApart) comparisons:"
        let more = disagreements.count - shown.count
        return [head] + shown + (more > 0 ? ["And \(more) more, in results.json."] : [])
    }

    /// A row for each model and cache.
    public var columns: [TableColumn] {
        func percent(_ share: Double) -> String { String(format: "%.1f", 100 * share) }
        var columns: [TableColumn?] = [
            TableColumn(title: "model", cells: rows.map(\.model), leading: true),
            TableColumn(title: "attention", cells: rows.map(\.attention), leading: true),
            TableColumn(title: "cache", cells: rows.map(\.cache), leading: true),
            TableColumn.filled("bytes/token", rows) { String(format: "%.1f", $0.bytesPerToken) },
            TableColumn.filled("bits/byte", rows) { String(format: "%.4f", $0.bitsPerByte) },
        ]
        for (index, task) in tasks.enumerated() {
            columns += [
                TableColumn.filled(task, rows) { $0.scores[index].map { percent($0.overall.mean) } },
                TableColumn.filled("95 %", rows) { row in
                    row.scores[index].map { "\(percent($0.overall.low))–\(percent($0.overall.high))" }
                },
                TableColumn.filled("n", rows) { row in row.scores[index].map { "\($0.overall.n)" } },
                TableColumn.filled("to parent", rows) { row in
                    row.scores[index]?.toParent.map { paired in
                        String(format: "%+.1f", 100 * paired.difference)
                            + (paired.standardError.map { String(format: " ± %.1f", 196 * $0) } ?? "")
                    }
                },
                TableColumn.filled("lost/gained", rows) { row in
                    row.scores[index]?.toParent.map { "\($0.lost)/\($0.gained)" }
                },
                TableColumn.filled("held bytes/token", rows) { row in
                    row.scores[index]?.heldBytesPerToken.map { String(format: "%.0f", $0) }
                },
                TableColumn.filled("first token, ms", rows) { row in
                    row.scores[index]?.firstTokenSeconds.map { String(format: "%.0f", 1000 * $0) }
                },
            ]
        }
        return columns.compactMap { $0 }
    }

    /// One line a model, cache and task.
    public var csv: String {
        let lines = rows.flatMap { row in
            zip(specs, row.scores).compactMap { task, score in score.map { (row: row, task: task, score: $0) } }
        }
        return Self.csv(
            lines,
            [
                "model": { $0.row.model }, "attention": { $0.row.attention }, "parent": { $0.row.parent },
                "cache": { $0.row.cache }, "runs": { $0.row.runs }, "bytes_per_token": { $0.row.bytesPerToken },
                "bits_per_byte": { $0.row.bitsPerByte }, "task": { $0.task }, "n": { $0.score.overall.n },
                "score": { $0.score.overall.mean }, "low": { $0.score.overall.low }, "high": { $0.score.overall.high },
                "difference": { $0.score.toParent?.difference }, "standard_error": { $0.score.toParent?.standardError },
                "lost": { $0.score.toParent?.lost }, "gained": { $0.score.toParent?.gained },
                "held_bytes_per_token": { $0.score.heldBytesPerToken }, "first_token_seconds": { $0.score.firstTokenSeconds },
                "prefill_tokens_per_second": { $0.score.prefillTokensPerSecond },
                "decode_tokens_per_second": { $0.score.decodeTokensPerSecond },
            ])
    }
}

extension HTMLReport {
    /// The section of tasks: the disagreements with bits per byte, a drawing for each task, and the table.
    static func tasks(_ table: TaskTable) -> Section {
        let figures = table.tasks.indices.map { index in
            let points = table.rows.compactMap { row in
                row.scores[index].map { score in
                    ScoreBytesPlot.Point(name: "\(row.model) \(row.cache)", bytes: row.bytesPerToken, score: score.overall)
                }
            }
            let figure = ScoreBytesPlot(points, xName: "allocated cache bytes per token (log scale)").figure
            return "<h3>\(table.tasks[index].escapedForHTML)</h3>\n\(figure)"
        }
        let verdicts = table.verdicts
        let items = verdicts.dropFirst().map { "<li>\($0.escapedForHTML)</li>" }.joined()
        return Section(
            title: "Tasks beside bits per byte",
            caption: "Upper left is better; bars are Wilson's 95 % intervals over examples.",
            content: "<p>\((verdicts.first ?? "").escapedForHTML)</p>" + (items.isEmpty ? "" : "<ul>\(items)</ul>")
                + figures.joined(separator: "\n")
                + "\n<p class=\"caption\">\(table.caption.escapedForHTML)</p>\n"
                + Self.table(table.columns, colors: Array(table.rows.indices)))
    }
}
