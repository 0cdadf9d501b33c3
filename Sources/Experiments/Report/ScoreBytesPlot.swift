import Evaluation
import Foundation

/// Scores over the cache's bytes per token, one mark a model and cache, with 95 % intervals; upper left is better.
struct ScoreBytesPlot {
    /// A model and cache.
    struct Point {
        var name: String
        /// Bytes that the cache takes for a token.
        var bytes: Double
        var score: WilsonInterval
    }

    private let points: [Point]
    private let xName: String

    /// Points without bytes are left out.
    init(_ points: [Point], xName: String) {
        self.points = points.filter { $0.bytes > 0 }
        self.xName = xName
    }

    init(_ entries: [LongContextSummary.Cache]) {
        self.init(
            entries.map { Point(name: "\($0.model) \($0.label)", bytes: $0.bytesPerToken, score: $0.overall) },
            xName: "bytes held per token (log scale)")
    }

    var figure: String {
        guard !points.isEmpty else { return "" }
        let keys = points.enumerated().map { (SeriesStyle($0).key, $1.name) }
        return SVG.figure(
            label: "Score over cache bytes per token, one mark a model and cache", legend: isNamed ? "" : LinePlot.legend(keys)
        ) { drawing($0) }
    }

    /// Whether names stand beside the marks: more of them would cover the bars.
    private var isNamed: Bool { points.count <= 6 }

    private func drawing(_ layout: SVG.Layout) -> SVG {
        let (left, right, top, bottom) = (layout.isNarrow ? 66.0 : 86, layout.width - 20, 18.0, 360.0)
        var svg = SVG(width: layout.width, height: 420)
        let x = PlotAxis(
            showing: points.map(\.bytes), pixels: (left, right - (isNamed ? layout.isNarrow ? 80 : 130 : 20)), logarithmic: true,
            margin: 0.07)
        let y = PlotAxis(showing: [0, 100], pixels: (bottom, top), margin: 0.03)
        svg.grid(y, from: left, to: right, about: 5)
        svg.ticks(x, at: points.map(\.bytes), bottom: bottom) { byteCountText(Int($0.rounded())) }
        svg.names(x: xName, y: "score, %", from: (left, top), to: (right, bottom))
        let places = points.map { (x: x.position($0.bytes), y: y.position(100 * $0.score.mean)) }
        for (index, (point, place)) in zip(points, places).enumerated() {
            let style = SeriesStyle(index)
            let (high, low) = (y.position(100 * point.score.high), y.position(100 * point.score.low))
            svg.bar(place.x, from: high, to: low, style: "bar \(style.color)")
            let score = String(format: "%.1f %%, %.0f bytes per token", 100 * point.score.mean, point.bytes)
            svg.mark(
                place.x, place.y, radius: 5.5, shape: style.shape, style: "point \(style.color)",
                title: "\(point.name): \(score)")
        }
        guard isNamed else { return svg }
        svg.label(
            zip(points, places).map { ($0.name, $1.x, $1.y) },
            in: LabelPlacement.Box(x: left + 2, y: top, width: svg.width - left - 4, height: bottom - top - 2))
        return svg
    }
}
