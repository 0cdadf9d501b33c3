import Foundation

/// Lines of figures with error bars over one number.
struct LinePlot {
    /// One line.
    struct Series {
        var name: String
        /// Place of its colour, shape and dashes.
        var color: Int
        /// In order of x; `error` is half of a bar's height.
        var points: [(x: Double, y: Double, error: Double)]
    }

    var series: [Series]
    var xName: String
    var yName: String
    /// Whether y starts at 0.
    var fromZero = false
    /// A value drawn as a level line.
    var reference: Double?
    /// The text of a point.
    var yText: (Double) -> String = { String(format: "%.4f", $0) }

    /// The drawing, x by factors, with a legend; empty where no point is finite.
    var figure: String {
        let lines = series.map { line in
            var line = line
            line.points = line.points.filter { $0.y.isFinite && $0.error.isFinite && $0.x > 0 }
            return line
        }.filter { !$0.points.isEmpty }
        guard !lines.isEmpty else { return "" }
        let legend = Self.legend(lines.map { (SeriesStyle($0.color).lineKey, $0.name) })
        return SVG.figure(label: "\(yName) over \(xName)", legend: legend) { drawing(lines, $0) }
    }

    private static func xText(_ value: Double) -> String { String(format: "%g", value) }

    private func drawing(_ lines: [Series], _ layout: SVG.Layout) -> SVG {
        let points = lines.flatMap(\.points)
        let (left, right, top, bottom) = (layout.isNarrow ? 76.0 : 86, layout.width - 20, 14.0, 300.0)
        var svg = SVG(width: layout.width, height: 356)
        let x = PlotAxis(showing: points.map(\.x), pixels: (left, right), logarithmic: true)
        let ends: [Double] = points.map { $0.y - $0.error } + points.map { $0.y + $0.error } + (reference.map { [$0] } ?? [])
        let y =
            fromZero
            ? PlotAxis(domain: 0...max((ends.max() ?? 1) * 1.06, 1e-12), pixels: (bottom, top))
            : PlotAxis(showing: ends, pixels: (bottom, top))
        svg.grid(y, from: left, to: right, about: 5)
        if let reference { svg.line(left, y.position(reference), right, y.position(reference), style: "axis") }
        svg.ticks(x, at: points.map(\.x), bottom: bottom, text: Self.xText)
        svg.names(x: xName, y: yName, from: (left, top), to: (right, bottom))
        for line in lines {
            let style = SeriesStyle(line.color)
            svg.path(line.points.map { (x.position($0.x), y.position($0.y)) }, style: "curve \(style.line)")
            for point in line.points {
                let (cx, cy) = (x.position(point.x), y.position(point.y))
                if point.error > 0 {
                    let (high, low) = (y.position(point.y + point.error), y.position(point.y - point.error))
                    svg.bar(cx, from: high, to: low, style: "bar \(style.color)")
                }
                let text = "\(line.name): \(yText(point.y)) at \(Self.xText(point.x))"
                svg.mark(cx, cy, radius: 4, shape: style.shape, style: "point \(style.color)", title: text)
            }
        }
        return svg
    }

    /// The legend: the mark and the name of each entry.
    static func legend(_ entries: [(key: String, name: String)]) -> String {
        let items = entries.map { "<li>\($0.key)\($0.name.escapedForHTML)</li>" }
        return "<ul class=\"legend\">\(items.joined())</ul>"
    }
}
