/// A summary as one HTML file: the table, a heat map for each model and cache, scores against bytes held.
public struct LongContextReport {
    private let summary: LongContextSummary

    /// The report of `summary`.
    public init(_ summary: LongContextSummary) { self.summary = summary }

    /// The whole file.
    public var html: String {
        let table = LongContextTable(summary)
        let maps = summary.caches.compactMap { entry in
            let name = "\(entry.model), \(entry.label)"
            return DepthHeatMap(entry.groups).map { "<h3>\(name.escapedForHTML)</h3>\n<figure>\($0.svg(label: name))</figure>" }
        }
        let turns =
            TurnTable(summary).map { table in
                let colors = summary.caches.indices.flatMap { index in (summary.caches[index].turns ?? []).map { _ in index } }
                return "<div class=\"scroll\">\(HTMLReport.table(table.columns, colors: colors))</div>"
            } ?? ""
        let aware = summary.caches.contains(where: \.queryAware)
        return HTMLReport(
            title: "kvlab eval \(summary.task)", table: table, colors: Array(summary.caches.indices),
            sections: [
                HTMLReport.Section(
                    title: "Turn by turn",
                    caption: "A prompt is the conversation so far; cached tokens are the ones found in the prefix cache.",
                    content: turns),
                HTMLReport.Section(
                    title: "Score by depth and length",
                    caption:
                        "Percent right, in one scale from 0 (light) to 100 (dark); point at a square for its interval. Caches are "
                        + (aware ? "query-aware: compressed after they have seen the question." : "query-agnostic."),
                    content: maps.joined(separator: "\n")),
                HTMLReport.Section(
                    title: "Score against cache size", caption: "Upper left is better; bars are 95 % intervals.",
                    content: ScoreBytesPlot(summary.caches).figure),
            ]
        ).html
    }
}
