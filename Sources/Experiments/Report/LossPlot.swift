/// Training losses over steps, short runs apart from long ones.
struct LossPlot {
    private let curves: [(color: Int, curve: HTMLReport.Curve)]

    /// Curves without a finite point are left out; a curve's place in `curves` is its colour.
    init(_ curves: [HTMLReport.Curve]) {
        self.curves = curves.enumerated().compactMap { index, curve in
            var curve = curve
            curve.points = Self.thinned(curve.points.filter { $0.loss.isFinite }, to: 300)
            return curve.points.isEmpty ? nil : (curve.color ?? index, curve)
        }
    }

    /// Figures: the runs at least a third as long as the longest, then the others, which would be a corner of the first.
    var figures: [String] {
        let longest = curves.map { $0.curve.lastStep }.max() ?? 0
        let long = curves.filter { $0.curve.lastStep * 3 >= longest }
        let short = curves.filter { $0.curve.lastStep * 3 < longest }
        return [long, short].filter { !$0.isEmpty }.map(figure)
    }

    /// At most `count` points, each the mean of its neighbours.
    static func thinned(_ points: [(step: Int, loss: Double)], to count: Int) -> [(step: Int, loss: Double)] {
        guard points.count > count else { return points }
        return (0..<count).map { bucket in
            let range = (bucket * points.count / count)..<((bucket + 1) * points.count / count)
            let part = points[range]
            return (part[range.upperBound - 1].step, part.reduce(0) { $0 + $1.loss } / Double(part.count))
        }
    }

    private func figure(_ curves: [(color: Int, curve: HTMLReport.Curve)]) -> String {
        let (left, right, top, bottom) = (76.0, 880.0, 14.0, 280.0)
        var svg = SVG(width: 900, height: 336)
        let losses = curves.flatMap { $0.curve.points.map(\.loss) }
        let first = curves.flatMap { $0.curve.points.map(\.step) }.min() ?? 0
        let last = curves.map { $0.curve.lastStep }.max() ?? 1
        let x = PlotAxis(domain: Double(min(first, last - 1))...Double(last), pixels: (left, right))
        let y = PlotAxis(showing: losses, pixels: (bottom, top), margin: 0.05)
        for tick in y.ticks(about: 5) {
            svg.line(left, y.position(tick.value), right, y.position(tick.value), style: "grid")
            svg.text(tick.text, left - 8, y.position(tick.value) + 4, style: "tick", anchor: "end")
        }
        for tick in x.ticks(about: 8) where tick.value == tick.value.rounded() {
            svg.line(x.position(tick.value), bottom, x.position(tick.value), bottom + 5, style: "axis")
            svg.text(tick.text, x.position(tick.value), bottom + 20, style: "tick", anchor: "middle")
        }
        svg.line(left, bottom, right, bottom, style: "axis")
        svg.text("step", (left + right) / 2, bottom + 44, style: "name", anchor: "middle")
        svg.text("training loss (nats per token)", 18, (top + bottom) / 2, style: "name", anchor: "middle", rotated: true)
        for (color, curve) in curves {
            svg.path(
                curve.points.map { (x.position(Double($0.step)), y.position($0.loss)) },
                style: "curve c\(color % HTMLReport.colors)\(curve.dash > 0 ? " dash\((curve.dash - 1) % 3 + 1)" : "")")
        }
        let names = curves.map {
            "<li><span class=\"swatch c\($0.color % HTMLReport.colors)\"></span>\($0.curve.name.escapedForHTML)</li>"
        }
        return svg.markup(label: "Training loss over steps") + "\n<ul class=\"legend\">\(names.joined())</ul>"
    }
}
