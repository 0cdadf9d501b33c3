import Foundation

/// Lines of figures with error bars over one number.
struct LinePlot {
    /// One line.
    struct Series {
        var name: String
        /// Place of its colour.
        var color: Int
        /// In order of x; `error` is half of a bar's height.
        var points: [(x: Double, y: Double, error: Double)]
        /// Whether it is drawn dashed.
        var isDashed = false
    }

    var series: [Series]
    var xName: String
    var yName: String
    /// The text of a tick of x.
    var xText: (Double) -> String = { String(format: "%g", $0) }
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
        let points = lines.flatMap(\.points)
        guard !points.isEmpty else { return "" }
        let (left, right, top, bottom) = (86.0, 880.0, 14.0, 300.0)
        var svg = SVG(width: 900, height: 356)
        let x = PlotAxis(showing: points.map(\.x), pixels: (left, right), logarithmic: true)
        let ends: [Double] = points.map { $0.y - $0.error } + points.map { $0.y + $0.error } + (reference.map { [$0] } ?? [])
        let y =
            fromZero
            ? PlotAxis(domain: 0...max((ends.max() ?? 1) * 1.06, 1e-12), pixels: (bottom, top))
            : PlotAxis(showing: ends, pixels: (bottom, top))
        svg.grid(y, from: left, to: right, about: 5)
        if let reference { svg.line(left, y.position(reference), right, y.position(reference), style: "axis") }
        svg.ticks(x, at: points.map(\.x), bottom: bottom, text: xText)
        svg.names(x: xName, y: yName, from: (left, top), to: (right, bottom))
        for (place, line) in lines.enumerated() {
            let style = "c\(line.color % HTMLReport.colors)"
            // Bars of lines that meet stand side by side.
            let shift = (Double(place) - Double(lines.count - 1) / 2) * min(5, 40 / Double(lines.count))
            svg.path(
                line.points.map { (x.position($0.x) + shift, y.position($0.y)) },
                style: "curve \(style)\(line.isDashed ? " dashed" : "")")
            for point in line.points {
                let (cx, cy) = (x.position(point.x) + shift, y.position(point.y))
                if point.error > 0 {
                    svg.line(cx, y.position(point.y - point.error), cx, y.position(point.y + point.error), style: "bar \(style)")
                }
                let text = "\(line.name): \(yText(point.y)) at \(xText(point.x))"
                svg.mark(cx, cy, radius: 4, style: "\(line.isDashed ? "open" : "point") \(style)", title: text)
            }
        }
        return "<figure>" + svg.markup(label: "\(yName) over \(xName)") + "\n"
            + Self.legend(lines.map { ($0.name, $0.color, $0.isDashed) }) + "</figure>"
    }

    /// Names with their colours; open swatches for what is dashed.
    static func legend(_ entries: [(name: String, color: Int, isOpen: Bool)]) -> String {
        let items = entries.map {
            "<li><span class=\"swatch\($0.isOpen ? " hollow" : "") c\($0.color % HTMLReport.colors)\"></span>\($0.name.escapedForHTML)</li>"
        }
        return "<ul class=\"legend\">\(items.joined())</ul>"
    }
}
