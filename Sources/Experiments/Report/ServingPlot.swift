import Foundation

/// Figures of models over the cache bytes of a token: named points, a colour for each architecture, bars from the lowest round
/// to the highest.
struct ServingPlot {
    /// One model under one load.
    struct Point {
        var model: String
        var attention: String
        var bytes: Int
        var y: ServingLoad.Spread
        /// Whether it is drawn hollow: the open loop.
        var isOpen: Bool
    }

    var points: [Point]
    var yName: String
    /// The names of solid and hollow points; nil where there is only one kind.
    var kinds: (solid: String, hollow: String)?

    private static let (left, right, top, bottom) = (86.0, 880.0, 22.0, 400.0)

    /// The drawing with its legend; empty where no point is finite.
    var figure: String {
        let points = points.filter { $0.y.median.isFinite && $0.bytes > 0 }
        guard !points.isEmpty else { return "<p class=\"caption\">No model has a finite figure.</p>" }
        var svg = SVG(width: 900, height: 458)
        let x = PlotAxis(
            showing: points.map { Double($0.bytes) }, pixels: (Self.left, Self.right), logarithmic: true, margin: 0.12)
        let y = PlotAxis(fromZeroPast: points.map(\.y.highest).max() ?? 0, pixels: (Self.bottom, Self.top), ticks: 6)
        svg.grid(y, from: Self.left, to: Self.right, about: 6)
        svg.ticks(x, at: points.map { Double($0.bytes) }, bottom: Self.bottom) { byteCountText(Int($0)) }
        svg.names(
            x: "KV cache bytes per token (log scale)", y: yName, from: (Self.left, Self.top), to: (Self.right, Self.bottom))
        // The architecture's colour, by its first place among the models; the first two colours are greys.
        let attentions = points.map(\.attention).distinct()
        func color(_ attention: String) -> Int { 2 + (attentions.firstIndex(of: attention) ?? 0) % (HTMLReport.colors - 2) }
        let places = zip(points, Self.shifts(points)).map { point, shift in
            (point: point, x: x.position(Double(point.bytes)) + shift, y: y.position(point.y.median))
        }
        for place in places {
            let style = "c\(color(place.point.attention))"
            if place.point.y.hasRange {
                svg.line(
                    place.x, y.position(place.point.y.highest), place.x, y.position(place.point.y.lowest), style: "bar \(style)")
            }
            let mark = place.point.isOpen ? "open" : "point"
            svg.mark(place.x, place.y, style: "\(mark) \(style)", title: title(place.point))
        }
        labels(places, y, into: &svg)
        var legend = attentions.map { (key: SVG.key(style: "point c\(color($0))"), name: $0) }
        if let kinds, points.contains(where: \.isOpen) {
            legend += [(SVG.key(style: "point c1"), kinds.solid), (SVG.key(style: "open c1"), kinds.hollow)]
        }
        return "<figure>" + svg.markup(label: "\(yName) over KV cache bytes per token, one point a model") + "\n"
            + LinePlot.legend(legend) + "</figure>"
    }

    private func title(_ point: Point) -> String {
        let kind = kinds.map { ", " + (point.isOpen ? $0.hollow : $0.solid) } ?? ""
        let range = point.y.range(0).map { " (\($0))" } ?? ""
        return "\(point.model), \(point.attention)\(kind): \(point.y.text(0))\(range) \(yName) at \(byteCountText(point.bytes))"
    }

    /// How far each point stands beside its bytes: models of equal bytes side by side, and so a model's two loads, whose bars
    /// would hide each other.
    ///
    ///     256 B: kv2, mla, closed and open loop of each   →   kv2 at −18 and −8, mla at 8 and 18
    private static func shifts(_ points: [Point]) -> [Double] {
        let hasBoth = points.contains(where: \.isOpen)
        return points.map { point in
            let models = points.filter { $0.bytes == point.bytes }.map(\.model).distinct()
            let place = Double(models.firstIndex(of: point.model) ?? 0) - Double(models.count - 1) / 2
            let loop = hasBoth ? (point.isOpen ? 5.0 : -5) : 0
            return place * min(26, 130 / Double(models.count)) + loop
        }
    }

    private func labels(_ places: [(point: Point, x: Double, y: Double)], _ y: PlotAxis, into svg: inout SVG) {
        let bounds = LabelPlacement.Box(
            x: Self.left + 2, y: 2, width: svg.width - Self.left - 4, height: Self.bottom - 4)
        // Bars are kept free as the points are: as points close enough to leave no gap.
        let bars = places.filter { $0.point.y.hasRange }.flatMap { place in
            stride(from: y.position(place.point.y.highest), through: y.position(place.point.y.lowest), by: 10).map {
                (place.x, $0)
            }
        }
        svg.label(places.map { ($0.point.model, $0.x, $0.y) }, in: bounds, avoiding: bars)
    }
}

extension PlotAxis {
    /// An axis from 0 to the first of about `count` ticks that `highest` doesn't reach past.
    init(fromZeroPast highest: Double, pixels: (first: Double, last: Double), ticks count: Int) {
        var top = highest > 0 ? highest : 1
        // A higher end may take a longer step, which the end must be a multiple of in turn.
        for _ in 0..<4 {
            let ticks = PlotAxis(domain: 0...top, pixels: pixels).ticks(about: count)
            guard ticks.count > 1, let last = ticks.last, last.value < top * (1 - 1e-9) else { break }
            let step = ticks[1].value
            top = (top / step).rounded(.up) * step
        }
        self.init(domain: 0...top, pixels: pixels)
    }
}
