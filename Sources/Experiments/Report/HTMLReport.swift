import Conversion

/// An experiment as one HTML file that needs nothing else: its table, sections of figures, folded details.
///
/// It follows the reader's light or dark setting and runs no script.
public struct HTMLReport {
    /// A titled part; left out where it has no content.
    struct Section {
        var title: String
        /// Plain text below the title.
        var caption = ""
        /// Markup.
        var content: String

        var markup: String {
            guard !content.isEmpty else { return "" }
            return "<h2>\(title)</h2>\n" + (caption.isEmpty ? "" : "<p class=\"caption\">\(caption.escapedForHTML)</p>\n")
                + content
        }
    }

    /// Colours of curves and points, used in turn.
    static let colors = 10

    private let title: String
    private let caption: String
    private let table: String
    /// The answers that a reader came for, above everything else.
    var recommendations: [Recommendation] = []
    /// Figures above the table, in order.
    var opening: [Section] = []
    /// Figures below the table, in order.
    var sections: [Section]
    /// Parts that are folded away, each under a line of its own.
    var details: [(summary: String, content: String)] = []

    /// A report called `title` with a table whose rows have the colours at these places.
    init(title: String, caption: String? = nil, table: any ResultTable, colors: [Int], sections: [Section]) {
        self.title = title
        self.caption = caption ?? table.caption
        self.table = Self.table(table.columns, colors: colors)
        self.sections = sections
    }

    /// The comparison of models that need no training.
    public init(title: String, table: ComparisonTable) {
        self.init(title: title, table: table, colors: Array(table.rows.indices), sections: [])
        recommendations = table.recommendation.map { [$0] } ?? []
        opening = [
            Section(
                title: "Quality against cache size",
                caption:
                    "Lower left is better. The line joins the models that no other beats in both directions; bars are 95 % intervals of the difference to \(table.rows.first?.name ?? "the first"), paired over windows.",
                content: ParetoPlot(table).figure)
        ]
        if let tasks = table.tasks { opening.append(Self.tasks(tasks)) }
    }

    /// The whole file.
    public var html: String {
        Self.page(
            title: title,
            body: """
                \(recommendations.isEmpty ? "" : "<section class=\"answer\">\(recommendations.map(\.markup).joined(separator: "\n"))</section>")
                \(opening.map(\.markup).joined(separator: "\n"))
                \(opening.isEmpty ? "" : "<h2>Figures</h2>\n")<p class="caption">\(caption.escapedForHTML)</p>
                \(table)
                \(sections.map(\.markup).joined(separator: "\n"))
                \(details.map { "<details><summary>\($0.summary)</summary>\($0.content)</details>" }.joined(separator: "\n"))
                """)
    }

    /// A page called `title` around `body`, with the styles of tables and drawings.
    static func page(title: String, body: String) -> String {
        """
        <!DOCTYPE html>
        <html lang="en">
        <head>
        <meta charset="utf-8">
        <meta name="viewport" content="width=device-width, initial-scale=1">
        <meta name="color-scheme" content="light dark">
        <title>\(title.escapedForHTML) – kvlab</title>
        <style>
        \(style)
        </style>
        </head>
        <body>
        <main>
        <h1>\(title.escapedForHTML)</h1>
        \(body)
        </main>
        </body>
        </html>

        """
    }

    /// The first drawing of a figure as an SVG file that needs nothing else; nil where the figure has none.
    static func image(_ figure: String) -> String? {
        // The first is the wide one.
        guard let start = figure.range(of: "<svg "), let end = figure.range(of: "</svg>") else { return nil }
        let attributes = #"<svg xmlns="http://www.w3.org/2000/svg" font-family="system-ui, sans-serif" "#
        let drawing = figure[start.upperBound..<end.lowerBound]
        guard let opened = drawing.firstIndex(of: ">") else { return nil }
        return """
            \(attributes)\(drawing[...opened])
            <style>
            \(style.replacing("&", with: "&amp;").replacing("<", with: "&lt;"))
            </style>
            <rect width="100%" height="100%" style="fill: var(--paper)"/>\(drawing[drawing.index(after: opened)...])</svg>

            """
    }

    /// A table of `columns`, each row with a swatch of its place among the colours, or without any.
    static func table(_ columns: [TableColumn], colors places: [Int]?) -> String {
        let head = columns.map { "<th\($0.leading ? " class=\"text\"" : "")>\($0.title.escapedForHTML)</th>" }.joined()
        let body = columns.rows.enumerated().map { row, texts in
            let cells = zip(columns, texts).enumerated().map { index, cell in
                let swatch = index == 0 ? places.map { SeriesStyle($0[row]).key } ?? "" : ""
                return "<td\(cell.0.leading ? " class=\"text\"" : "")>\(swatch)\(cell.1.escapedForHTML)</td>"
            }
            return "<tr>\(cells.joined())</tr>"
        }
        let rows = body.joined(separator: "\n")
        return "<div class=\"scroll\"><table><thead><tr>\(head)</tr></thead><tbody>\n\(rows)\n</tbody></table></div>"
    }

    /// Losses of runs in groups under a title each.
    static func losses(_ groups: [(title: String, curves: [LossPlot.Curve])], caption: String = "") -> Section {
        let figures = groups.flatMap { group in
            LossPlot(group.curves).figures.map { (group.title.isEmpty ? "" : "<h3>\(group.title)</h3>\n") + $0 }
        }
        return Section(title: "Training loss", caption: caption, content: figures.joined(separator: "\n"))
    }

    /// The heads of the layers of a model, pair by pair.
    static func similarity(_ layers: [HeadSimilarity]) -> Section {
        Section(
            title: "How alike the parent's KV heads are",
            caption:
                "Cosine of each two heads: below the diagonal as they are, above it once they are aligned (keys turned in each RoPE plane, values by orthogonal maps). Darker is more alike; point at a square for its value.",
            content: layers.isEmpty ? "" : "<figure>\(SimilarityHeatMap(layers).svg)</figure>")
    }

    // Colours: Okabe and Ito (2008), darkened or lightened where contrast needs it.
    private static let style = """
        :root { --paper: #fff; --ink: #1c1e21; --soft: #62676e; --rule: #dfe2e6; --stripe: #f6f7f9;
          --c0: #30343a; --c1: #767b83; --c2: #0067a5; --c3: #c2500a; --c4: #00805c; --c5: #a8478b; --c6: #8a6d00; --c7: #2f93cf; --c8: #b5303f; --c9: #5a55cc; }
        @media (prefers-color-scheme: dark) { :root { --paper: #16181b; --ink: #e6e8ea; --soft: #9ba1a8; --rule: #33373c; --stripe: #1e2125;
          --c0: #f0f1f2; --c1: #a4aab2; --c2: #5ab4f0; --c3: #f08c4a; --c4: #3cc79d; --c5: #e08cc4; --c6: #e5c94b; --c7: #8fd0f7; --c8: #f58a94; --c9: #aaa6ff; } }
        * { box-sizing: border-box; }
        body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Noto Sans", sans-serif; }
        main { max-width: 1220px; margin: 0 auto; padding: 28px 24px 60px; }
        h1 { font-size: 26px; margin: 0 0 4px; } h2 { font-size: 19px; margin: 40px 0 4px; }
        .caption { color: var(--soft); margin: 0 0 16px; overflow-wrap: anywhere; }
        .answer { border: 1.5px solid var(--ink); border-radius: 8px; padding: 10px 16px; margin: 14px 0; break-inside: avoid; }
        .answer p { margin: 4px 0; } .answer .headline { font-size: 18px; font-weight: 600; margin-top: 8px; } .answer ul { margin: 6px 0; padding-left: 20px; }
        code { overflow-wrap: anywhere; font-size: 13px; }
        .scroll { overflow-x: auto; }
        table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: 13.5px; }
        th { text-align: right; vertical-align: bottom; font-weight: 600; color: var(--soft); border-bottom: 1.5px solid var(--ink); }
        td { text-align: right; white-space: nowrap; border-bottom: 1px solid var(--rule); }
        th, td { padding: 6px 7px; } th.text, td.text { text-align: left; }
        tbody tr:nth-child(even) { background: var(--stripe); }
        figure { margin: 0 0 12px; overflow-x: auto; } svg { display: block; width: 100%; max-width: 1000px; height: auto; margin: 0 auto; }
        @media screen { figure svg:not([class]) { min-width: 720px; } }
        svg.narrow { display: none; } @media screen and (max-width: 640px) { svg.wide { display: none; } svg.narrow { display: block; } main { padding: 20px 14px 40px; } }
        svg.key { display: inline-block; height: 14px; margin: 0 6px 0 0; vertical-align: -2px; }
        @media print { :root { color-scheme: light; } main { max-width: none; padding: 0; } figure, tr, .answer { break-inside: avoid; } h2, h3, .caption { break-after: avoid; } .scroll { overflow: visible; } table { font-size: 8px; } th, td { padding: 2px 3px; } td { white-space: normal; } }
        svg text { font-family: inherit; fill: var(--soft); font-size: 12px; } svg text.label { fill: var(--ink); font-size: 13px; paint-order: stroke; stroke: var(--paper); stroke-width: 3px; }
        svg text.name { font-size: 13px; }
        .grid { stroke: var(--rule); } .axis { stroke: var(--soft); } .leader { stroke: var(--soft); stroke-width: 0.7; }
        .frontier { fill: none; stroke: var(--soft); stroke-width: 1.5; stroke-dasharray: 5 4; } .faint { stroke-opacity: 0.45; stroke-width: 1; }
        .lane { fill: none; stroke: var(--c); stroke-width: 1; stroke-opacity: 0.5; } .dash1 { stroke-dasharray: 6 4; } .dash2 { stroke-dasharray: 2 3; } .dash3 { stroke-dasharray: 9 3 2 3; }
        .point { stroke: var(--paper); stroke-width: 1.5; } .bar { stroke-width: 1.5; } .curve { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
        .open { fill: var(--paper); stroke: var(--c); stroke-width: 2; }
        .heat { fill: var(--c2); } .heat.minus { fill: var(--c3); } .frame { fill: none; stroke: var(--rule); }
        .legend { list-style: none; display: flex; flex-wrap: wrap; justify-content: center; gap: 4px 22px; margin: 0; padding: 0; font-size: 13px; }
        .legend + .legend { margin-top: 4px; }
        h3 { font-size: 15px; margin: 18px 0 4px; } details { margin-top: 40px; } details + details { margin-top: 10px; } details details { margin: 6px 0 6px 18px; } summary { cursor: pointer; color: var(--soft); }
        pre { background: var(--stripe); border: 1px solid var(--rule); border-radius: 6px; padding: 14px; overflow-x: auto; font-size: 12.5px; }
        """ + (0..<colors).map { "\n.c\($0) { --c: var(--c\($0)); }" }.joined()
        + "\n.point { fill: var(--c); } .bar, .curve { stroke: var(--c); }"
}
