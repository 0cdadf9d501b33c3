/// Training losses over steps, short runs apart from long ones.
struct LossPlot {
    /// One run's training loss.
    struct Curve {
        /// The run's name.
        var name: String
        /// Place of its colour.
        var color: Int
        /// The number of its dash pattern: 0 is solid.
        var dash = 0
        /// Loss in nats per token after each step, in order.
        var points: [(step: Int, loss: Double)]

        var lastStep: Int { points.last?.step ?? 0 }
    }

    private let curves: [Curve]

    /// Curves without a finite point are left out.
    init(_ curves: [Curve]) {
        self.curves = curves.compactMap { curve in
            var curve = curve
            curve.points = Self.thinned(curve.points.filter { $0.loss.isFinite }, to: 300)
            return curve.points.isEmpty ? nil : curve
        }
    }

    /// Figures: the runs at least a third as long as the longest, then the others, which would be a corner of the first.
    var figures: [String] {
        let longest = curves.map(\.lastStep).max() ?? 0
        let long = curves.filter { $0.lastStep * 3 >= longest }
        let short = curves.filter { $0.lastStep * 3 < longest }
        return [long, short].filter { !$0.isEmpty }.map { curves in
            let legend = LinePlot.legend(curves.map { (SVG.key(line: style($0)), $0.name) })
            return SVG.figure(label: "Training loss over steps", legend: legend) { drawing(curves, $0) }
        }
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

    private func style(_ curve: Curve) -> String {
        "curve " + SeriesStyle.line(SeriesStyle(curve.color).color, dash: curve.dash)
    }

    private func drawing(_ curves: [Curve], _ layout: SVG.Layout) -> SVG {
        let (left, right, top, bottom) = (layout.isNarrow ? 62.0 : 76, layout.width - 20, 14.0, 280.0)
        var svg = SVG(width: layout.width, height: 336)
        let losses = curves.flatMap { $0.points.map(\.loss) }
        let first = curves.flatMap { $0.points.map(\.step) }.min() ?? 0
        let last = curves.map(\.lastStep).max() ?? 1
        let x = PlotAxis(domain: Double(min(first, last - 1))...Double(last), pixels: (left, right))
        let y = PlotAxis(showing: losses, pixels: (bottom, top), margin: 0.05)
        svg.grid(y, from: left, to: right, about: 5)
        for tick in x.ticks(about: layout.ticks(8)) where tick.value == tick.value.rounded() {
            svg.line(x.position(tick.value), bottom, x.position(tick.value), bottom + 5, style: "axis")
            svg.text(tick.text, x.position(tick.value), bottom + 20, style: "tick", anchor: "middle")
        }
        svg.names(x: "step", y: "training loss (nats per token)", from: (left, top), to: (right, bottom))
        for curve in curves {
            svg.path(curve.points.map { (x.position(Double($0.step)), y.position($0.loss)) }, style: style(curve))
        }
        return svg
    }
}
