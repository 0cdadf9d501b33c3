import Foundation

/// Figures with error bars, one a line, in groups under one name each.
struct ErrorBarPlot {
    /// One line.
    struct Row {
        var name: String
        /// Place of its colour.
        var color: Int
        var mean: Double
        /// Half of the bar's length.
        var error: Double
    }

    var rows: [Row]
    var xName: String
    /// A value drawn as an upright line, such as the parent's.
    var reference: Double?

    /// The drawing; empty where no figure is finite.
    var figure: String {
        let rows = rows.filter { $0.mean.isFinite && $0.error.isFinite }
        guard !rows.isEmpty else { return "" }
        return SVG.figure(label: xName) { drawing(rows, $0) }
    }

    private func drawing(_ rows: [Row], _ layout: SVG.Layout) -> SVG {
        // On a phone a name stands above its line.
        let (left, top, step) = layout.isNarrow ? (16.0, 8.0, 44.0) : (190.0, 16.0, 26.0)
        let (right, bottom) = (layout.width - 20, top + Double(rows.count) * step)
        var svg = SVG(width: layout.width, height: bottom + 52)
        let x = PlotAxis(
            showing: rows.flatMap { [$0.mean - $0.error, $0.mean + $0.error] } + (reference.map { [$0] } ?? []),
            pixels: (left, right), margin: 0.05)
        for tick in x.ticks(about: layout.ticks(8)) {
            svg.line(x.position(tick.value), top, x.position(tick.value), bottom, style: "grid")
            svg.text(tick.text, x.position(tick.value), bottom + 20, style: "tick", anchor: "middle")
        }
        if let reference { svg.line(x.position(reference), top, x.position(reference), bottom, style: "axis") }
        for (place, row) in rows.enumerated() {
            let y = top + (Double(place) + (layout.isNarrow ? 0.75 : 0.5)) * step
            let style = SeriesStyle(row.color)
            if layout.isNarrow {
                svg.text(row.name, left, y - 14, style: "name")
            } else {
                svg.text(row.name, left - 14, y + 4, style: "name", anchor: "end")
            }
            if row.error > 0 {
                let (low, high) = (x.position(row.mean - row.error), x.position(row.mean + row.error))
                svg.line(low, y, high, y, style: "bar \(style.color)")
                for end in [low, high] { svg.line(end, y - 4, end, y + 4, style: "bar \(style.color)") }
            }
            let text = "\(row.name): \(String(format: "%.4f", row.mean))"
            svg.mark(x.position(row.mean), y, radius: 5, shape: style.shape, style: "point \(style.color)", title: text)
        }
        svg.text(xName, (left + right) / 2, bottom + 44, style: "name", anchor: "middle")
        return svg
    }
}
