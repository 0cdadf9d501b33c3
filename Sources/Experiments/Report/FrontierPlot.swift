import Foundation

/// Divergence from the parent over cache bytes a token, both by factors, one mark a model and cache; lower left is better.
///
/// Colours and dashes are eviction policies, shapes are models. A line joins the encodings of one model and eviction, the dashed one the points
/// that no other dominates; dominated points are hollow.
struct FrontierPlot {
    private let rows: [CacheFrontier.Row]
    /// Policies in the order of their colours, the uncompressed cache first, and models in the order of their shapes.
    private let policies: [String], models: [String]
    private let top = 18.0
    private let bottom = 430.0
    /// The share of the largest divergence that lower ones stand at, 0 among them, which has no logarithm.
    static let least = 1e-4
    /// The most names that find room beside their points.
    private static let mostNames = 16

    /// The points of a parent's models; those whose figures are not finite are left out.
    init(_ frontier: CacheFrontier, parent: String) {
        rows = frontier.rows.filter { $0.parent == parent && $0.klToParent.isFinite && $0.cacheBytesPerToken > 0 }
        policies = Self.policies(frontier)
        models = rows.map(\.model).distinct()
    }

    /// The policies of a frontier in the order of their colours.
    static func policies(_ frontier: CacheFrontier) -> [String] { (["full"] + frontier.rows.compactMap(\.evict)).distinct() }

    /// The place of a row's colour.
    static func color(_ row: CacheFrontier.Row, _ policies: [String]) -> Int { policies.firstIndex(of: row.evict ?? "full") ?? 0 }

    /// The drawing with its legends; empty without points.
    var figure: String {
        guard !rows.isEmpty else { return "" }
        let label = "KL divergence from the parent over cache bytes per token, one mark a model and cache"
        return SVG.figure(label: label, legend: legends) { drawing($0) }
    }

    private func drawing(_ layout: SVG.Layout) -> SVG {
        let (left, right) = (layout.isNarrow ? 80.0 : 86, layout.width - 20)
        var svg = SVG(width: layout.width, height: 490)
        let x = PlotAxis(
            showing: rows.map(\.cacheBytesPerToken), pixels: (left, right - (layout.isNarrow ? 30 : 60)), logarithmic: true,
            margin: 0.06)
        let positive = rows.map(\.klToParent).filter { $0 > 0 }
        let floor = max(positive.min() ?? Self.least, (positive.max() ?? 1) * Self.least)
        let y = PlotAxis(
            showing: positive.filter { $0 >= floor } + [floor], pixels: (bottom, top), logarithmic: true, margin: 0.05)
        for tick in y.factorTicks {
            svg.line(left, y.position(tick.value), right, y.position(tick.value), style: "grid")
            svg.text(tick.text, left - 8, y.position(tick.value) + 4, style: "tick", anchor: "end")
        }
        svg.ticks(x, at: rows.map(\.cacheBytesPerToken), bottom: bottom) { byteCountText(Int($0.rounded())) }
        svg.names(
            x: "most cache bytes per token (log scale)", y: "KL to the parent, nats (log scale)", from: (left, top),
            to: (right, bottom))
        let places = rows.map { (x: x.position($0.cacheBytesPerToken), y: y.position(max($0.klToParent, floor))) }
        joinEncodings(places, into: &svg)
        let best = rows.indices.filter { !rows[$0].isDominated }.sorted {
            (rows[$0].cacheBytesPerToken, rows[$1].klToParent) < (rows[$1].cacheBytesPerToken, rows[$0].klToParent)
        }
        if best.count > 1 { svg.path(best.map { places[$0] }, style: "frontier") }
        // The best lies on top.
        for index in rows.indices.filter({ rows[$0].isDominated }) + best { draw(index, places[index], into: &svg) }
        if best.count <= Self.mostNames {
            svg.label(
                best.map { ("\(rows[$0].eviction.prefix { $0 != "," }) \(rows[$0].kvDtype)", places[$0].x, places[$0].y) },
                in: LabelPlacement.Box(x: left + 2, y: top, width: svg.width - left - 4, height: bottom - top - 2))
        }
        return svg
    }

    private var legends: String {
        let shown = policies.enumerated().filter { entry in rows.contains { ($0.evict ?? "full") == entry.element } }
        let shapes = models.enumerated().map { (SVG.key(SeriesStyle($0).shape, style: "open c0"), $1) }
        return LinePlot.legend(shown.map { (SVG.key(line: "curve \(SeriesStyle($0.offset).line)"), $0.element) })
            + "\n" + LinePlot.legend(shapes)
    }

    private func joinEncodings(_ places: [(x: Double, y: Double)], into svg: inout SVG) {
        struct Lane: Hashable {
            var model: String
            var eviction: String
        }
        let lanes = Dictionary(grouping: rows.indices) { Lane(model: rows[$0].model, eviction: rows[$0].eviction) }
        for lane in lanes.values.sorted(by: { ($0.first ?? 0) < ($1.first ?? 0) }) {
            let line = lane.sorted { places[$0].x < places[$1].x }
            guard line.count > 1, let first = line.first else { continue }
            svg.path(
                line.map { places[$0] }, style: "lane \(SeriesStyle(Self.color(rows[first], policies)).line)")
        }
    }

    private func draw(_ index: Int, _ place: (x: Double, y: Double), into svg: inout SVG) {
        let row = rows[index]
        let text =
            "\(row.model), \(row.eviction), \(row.kvDtype): KL \(String(format: "%.5f", row.klToParent)), "
            + String(format: "%.1f bytes per token, %.4f bits per byte", row.cacheBytesPerToken, row.bitsPerByte)
        svg.mark(
            place.x, place.y, radius: row.isDominated ? 3.5 : 5.5,
            shape: SeriesStyle(models.firstIndex(of: row.model) ?? 0).shape,
            style: "\(row.isDominated ? "open" : "point") \(SeriesStyle(Self.color(row, policies)).color)", title: text)
    }
}

extension HTMLReport {
    /// The section of a frontier: a drawing for each parent, and the table.
    static func frontier(_ frontier: CacheFrontier, showsTable: Bool) -> Section {
        let figures = frontier.parents.map { parent in
            let figure = FrontierPlot(frontier, parent: parent).figure
            return figure.isEmpty || frontier.parents.count == 1 ? figure : "<h3>\(parent.escapedForHTML)</h3>\n\(figure)"
        }
        let policies = FrontierPlot.policies(frontier)
        let colors = frontier.rows.map { FrontierPlot.color($0, policies) }
        let table =
            showsTable
            ? "\n<p class=\"caption\">\(frontier.caption.escapedForHTML)</p>\n" + Self.table(frontier.columns, colors: colors)
            : ""
        return Section(
            title: "Compressed caches",
            caption: "Lower left is better. The dashed line joins the points that no other dominates; dominated ones are hollow, "
                + "and a thin line joins the encodings of one model and eviction. Divergences below a ten-thousandth of the largest "
                + "stand at the bottom.",
            content: figures.joined(separator: "\n") + table)
    }

    /// The frontier of models that need no training.
    public init(title: String, frontier: CacheFrontier) {
        let policies = FrontierPlot.policies(frontier)
        self.init(
            title: title, table: frontier, colors: frontier.rows.map { FrontierPlot.color($0, policies) }, sections: [])
        recommendations = frontier.recommendations ?? []
        opening = [Self.frontier(frontier, showsTable: false)]
        if let tasks = frontier.tasks { opening.append(Self.tasks(tasks)) }
    }
}
