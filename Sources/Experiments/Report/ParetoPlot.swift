import Foundation

/// Bits per byte over the cache's bytes per token, one mark a model; lower left is better.
///
/// A model's lengths of training are joined in the order of their tokens, which are the size of a mark. For each
/// number of tokens a line joins the models that no other of at most as many tokens beats in both directions. A few models bear their names,
/// many have a legend of their families.
struct ParetoPlot {
    /// A model.
    struct Point {
        var name: String
        /// The models of its colour.
        var family: String
        /// Place of its colour and shape.
        var color: Int
        var bytes: Double
        var bitsPerByte: Double
        /// Half of its bar's length; 0 for none.
        var error = 0.0
        /// Tokens that it was to be trained on; 0 for a model that isn't trained further.
        var budget = 0
        /// More for its title.
        var detail = ""
    }

    private let points: [Point]
    private let xName: String
    /// Token budgets, ascending.
    private let budgets: [Int]
    private let top = 18.0
    private let bottom = 430.0

    /// Points whose figures are not finite are left out.
    init(_ points: [Point], xName: String = "KV cache bytes per token (log scale)") {
        self.points = points.filter { $0.bitsPerByte.isFinite && $0.bytes > 0 }
        self.xName = xName
        budgets = Set(self.points.map(\.budget)).filter { $0 > 0 }.sorted()
    }

    /// A table's models, with 95 % intervals of their differences to the first.
    init(_ table: ComparisonTable) {
        self.init(
            table.rows.enumerated().map { index, row in
                let error = row.standardError.map { 1.96 * $0 } ?? 0
                return Point(
                    name: row.name, family: row.name, color: index, bytes: Double(row.kvBytesPerToken),
                    bitsPerByte: row.bitsPerByte, error: error.isFinite ? error : 0)
            })
    }

    /// The models that no other beats in both directions, fewest bytes first.
    static func frontier(_ rows: [(bytes: Int, bits: Double)]) -> [Int] {
        let order = rows.indices.sorted { (rows[$0].bytes, rows[$0].bits) < (rows[$1].bytes, rows[$1].bits) }
        var best = Double.infinity
        return order.filter { index in
            guard rows[index].bits < best else { return false }
            best = rows[index].bits
            return true
        }
    }

    var figure: String {
        guard !points.isEmpty else { return "<p>No model has a finite figure.</p>" }
        let label = "Bits per byte over KV cache bytes per token, one mark a model"
        guard !isNamed else { return SVG.figure(label: label) { drawing($0) } }
        let families = points.reduce(into: [(name: String, color: Int)]()) { found, point in
            if !found.contains(where: { $0.name == point.family }) { found.append((point.family, point.color)) }
        }
        let legend = LinePlot.legend(families.sorted { $0.color < $1.color }.map { (SeriesStyle($0.color).key, $0.name) })
        return SVG.figure(label: label, legend: legend) { drawing($0) }
    }

    /// Whether names stand beside the marks.
    private var isNamed: Bool { points.count <= 12 }

    private func drawing(_ layout: SVG.Layout) -> SVG {
        let (left, right) = (layout.isNarrow ? 66.0 : 86, layout.width - 20)
        var svg = SVG(width: layout.width, height: 490)
        // The margin on the right holds the last models' names.
        let x = PlotAxis(
            showing: points.map(\.bytes), pixels: (left, right - (isNamed ? layout.isNarrow ? 80 : 130 : 0)), logarithmic: true,
            margin: isNamed ? 0.07 : 0.12)
        let y = PlotAxis(
            showing: points.flatMap { [$0.bitsPerByte - $0.error, $0.bitsPerByte + $0.error] }, pixels: (bottom, top),
            margin: 0.05)
        svg.grid(y, from: left, to: right, about: 8)
        svg.ticks(x, at: points.map(\.bytes), bottom: bottom) { byteCountText(Int($0.rounded())) }
        svg.names(x: xName, y: "bits per byte", from: (left, top), to: (right, bottom))
        for budget in budgets.isEmpty ? [0] : budgets { frontier(budget, x, y, into: &svg) }
        let places = points.map { (x: x.position($0.bytes), y: y.position($0.bitsPerByte)) }
        lanes(places, into: &svg)
        for (point, place) in zip(points, places) { draw(point, place, y, into: &svg) }
        if isNamed {
            svg.label(
                zip(points, places).map { ($0.name, $1.x, $1.y) },
                in: LabelPlacement.Box(x: left + 2, y: top, width: svg.width - left - 4, height: bottom - top - 2))
        }
        return svg
    }

    /// The frontier of models of at most `budget` tokens, the parent's own not counted.
    private func frontier(_ budget: Int, _ x: PlotAxis, _ y: PlotAxis, into svg: inout SVG) {
        let chosen = points.filter { $0.budget <= budget }
        let best = Self.frontier(chosen.map { (bytes: Int($0.bytes.rounded()), bits: $0.bitsPerByte) })
        guard best.count > 1 else { return }
        svg.path(
            best.map { (x.position(chosen[$0].bytes), y.position(chosen[$0].bitsPerByte)) },
            style: budget == budgets.last ?? 0 ? "frontier" : "frontier faint")
    }

    private func lanes(_ places: [(x: Double, y: Double)], into svg: inout SVG) {
        let groups = Dictionary(grouping: points.indices, by: { points[$0].name })
        for name in groups.keys.sorted() {
            let line = (groups[name] ?? []).sorted { points[$0].budget < points[$1].budget }
            guard line.count > 1, let first = line.first else { continue }
            svg.path(line.map { places[$0] }, style: "lane c\(points[first].color % HTMLReport.colors)")
        }
    }

    private func draw(_ point: Point, _ place: (x: Double, y: Double), _ y: PlotAxis, into svg: inout SVG) {
        let style = SeriesStyle(point.color)
        if point.error > 0 {
            let (high, low) = (y.position(point.bitsPerByte + point.error), y.position(point.bitsPerByte - point.error))
            svg.bar(place.x, from: high, to: low, style: "bar \(style.color)")
        }
        let text =
            "\(point.name): \(String(format: "%.4f", point.bitsPerByte)) bits per byte, "
            + "\(Int(point.bytes.rounded())) bytes per token\(point.detail)"
        svg.mark(place.x, place.y, radius: radius(point.budget), shape: style.shape, style: "point \(style.color)", title: text)
    }

    private func radius(_ budget: Int) -> Double {
        guard let index = budgets.firstIndex(of: budget) else { return 5.5 }
        return budgets.count == 1 ? 5 : 3 + 4.5 * Double(index) / Double(budgets.count - 1)
    }
}
