extension LongContextSummary {
    /// The summary as one HTML file: the table, a heat map for each model and cache, scores against bytes held.
    public var html: String {
        let maps = caches.compactMap { entry in
            let name = "\(entry.model), \(entry.label)"
            return DepthHeatMap(entry.groups).map { "<h3>\(name.escapedForHTML)</h3>\n<figure>\($0.svg(label: name))</figure>" }
        }
        let turns =
            turnColumns.map { columns in
                let colors = caches.indices.flatMap { index in (caches[index].turns ?? []).map { _ in index } }
                return HTMLReport.table(columns, colors: colors)
            } ?? ""
        let aware = caches.contains(where: \.queryAware)
        return HTMLReport(
            title: "kvlab eval \(task)", table: self, colors: Array(caches.indices),
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
                    content: ScoreBytesPlot(caches).figure),
            ]
        ).html
    }
}
