import Foundation

/// Scores over the cache's bytes per token, one mark a model and cache, with 95 % intervals; upper left is better.
struct ScoreBytesPlot {
    private let entries: [LongContextSummary.Cache]

    init(_ entries: [LongContextSummary.Cache]) { self.entries = entries.filter { $0.bytesPerToken > 0 } }

    var figure: String {
        guard !entries.isEmpty else { return "" }
        let (left, right, top, bottom) = (86.0, 880.0, 18.0, 360.0)
        var svg = SVG(width: 900, height: 420)
        let x = PlotAxis(showing: entries.map(\.bytesPerToken), pixels: (left, right - 130), logarithmic: true, margin: 0.07)
        let y = PlotAxis(showing: [0, 100], pixels: (bottom, top), margin: 0.03)
        svg.grid(y, from: left, to: right, about: 5)
        svg.ticks(x, at: entries.map(\.bytesPerToken), bottom: bottom) { byteCountText(Int($0.rounded())) }
        svg.names(x: "bytes held per token (log scale)", y: "score, %", from: (left, top), to: (right, bottom))
        let places = entries.map { (x: x.position($0.bytesPerToken), y: y.position(100 * $0.overall.mean)) }
        for (index, (entry, place)) in zip(entries, places).enumerated() {
            let style = "c\(index % HTMLReport.colors)"
            let (high, low) = (y.position(100 * entry.overall.high), y.position(100 * entry.overall.low))
            svg.line(place.x, high, place.x, low, style: "bar \(style)")
            for end in [high, low] { svg.line(place.x - 4, end, place.x + 4, end, style: "bar \(style)") }
            let score = String(format: "%.1f %%, %.0f bytes per token", 100 * entry.overall.mean, entry.bytesPerToken)
            svg.mark(place.x, place.y, radius: 5.5, style: "point \(style)", title: "\(entry.model), \(entry.label): \(score)")
        }
        svg.label(
            zip(entries, places).map { ("\($0.model) \($0.label)", $1.x, $1.y) },
            in: LabelPlacement.Box(x: left + 2, y: top, width: svg.width - left - 4, height: bottom - top - 2))
        return "<figure>\(svg.markup(label: "Score over bytes held per token, one mark a model and cache"))</figure>"
    }
}
