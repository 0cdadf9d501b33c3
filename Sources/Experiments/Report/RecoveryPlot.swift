/// What each child lost when it was converted and what is left after uptraining: a line a model, in bits per byte.
struct RecoveryPlot {
    private let rows: [(index: Int, row: ComparisonRow)]
    private let reference: Double

    /// The rows that were converted and have finite figures; nil where there is none.
    init?(_ table: ComparisonTable) {
        rows = table.rows.enumerated().compactMap { index, row in
            guard let before = row.bitsPerByteBefore, before.isFinite, row.bitsPerByte.isFinite else { return nil }
            return (index, row)
        }
        guard let first = table.rows.first, first.bitsPerByte.isFinite, !rows.isEmpty else { return nil }
        reference = first.bitsPerByte
    }

    /// The drawing: an open mark before uptraining, a filled one after, the first model as an upright line.
    var svg: String {
        let (left, right, top, step) = (190.0, 880.0, 16.0, 30.0)
        let bottom = top + Double(rows.count) * step
        var svg = SVG(width: 900, height: bottom + 52)
        let values = rows.flatMap { [$0.row.bitsPerByteBefore ?? $0.row.bitsPerByte, $0.row.bitsPerByte] } + [reference]
        let x = PlotAxis(showing: values, pixels: (left, right), margin: 0.05)
        for tick in x.ticks(about: 8) {
            svg.line(x.position(tick.value), top, x.position(tick.value), bottom, style: "grid")
            svg.text(tick.text, x.position(tick.value), bottom + 20, style: "tick", anchor: "middle")
        }
        svg.line(x.position(reference), top, x.position(reference), bottom, style: "axis")
        for (place, (index, row)) in rows.enumerated() {
            let y = top + (Double(place) + 0.5) * step
            let color = "c\(index % HTMLReport.colors)"
            let (before, after) = (x.position(row.bitsPerByteBefore ?? row.bitsPerByte), x.position(row.bitsPerByte))
            svg.text(row.name, left - 14, y + 4, style: "name", anchor: "end")
            svg.line(before, y, after, y, style: "bar \(color)")
            svg.add("<circle cx=\"\(SVG.text(before))\" cy=\"\(SVG.text(y))\" r=\"5\" class=\"open \(color)\"/>")
            svg.add("<circle cx=\"\(SVG.text(after))\" cy=\"\(SVG.text(y))\" r=\"5.5\" class=\"point \(color)\"/>")
        }
        svg.text("bits per byte", (left + right) / 2, bottom + 44, style: "name", anchor: "middle")
        return svg.markup(label: "Bits per byte of each child before and after uptraining")
    }
}
