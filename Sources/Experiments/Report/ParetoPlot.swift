import Foundation

/// Bits per byte over the cache's bytes per token; lower left is better.
///
/// Bars are 1.96 standard errors of the difference to the first model each way. The line joins the models that no other
/// beats in both directions.
struct ParetoPlot {
    private struct Point {
        var row: ComparisonRow
        var color: Int
        var bytes: Double { Double(row.kvBytesPerToken) }
        var error: Double { 1.96 * (row.standardError.flatMap { $0.isFinite ? $0 : nil } ?? 0) }
    }

    private let points: [Point]
    private let left = 76.0
    private let right = 880.0
    private let top = 18.0
    private let bottom = 380.0

    /// Rows whose figures are not finite are left out.
    init(_ table: ComparisonTable) {
        points = table.rows.enumerated().filter { $0.element.bitsPerByte.isFinite && $0.element.kvBytesPerToken > 0 }
            .map { Point(row: $0.element, color: $0.offset) }
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

    var svg: String {
        guard !points.isEmpty else { return "<p>No model has a finite figure.</p>" }
        var svg = SVG(width: 900, height: 440)
        // The margin on the right holds the last models' labels.
        let x = PlotAxis(showing: points.map(\.bytes), pixels: (left, right - 130), logarithmic: true, margin: 0.07)
        let y = PlotAxis(
            showing: points.flatMap { [$0.row.bitsPerByte - $0.error, $0.row.bitsPerByte + $0.error] }, pixels: (bottom, top))
        axes(x, y, into: &svg)
        let frontier = Self.frontier(points.map { ($0.row.kvBytesPerToken, $0.row.bitsPerByte) })
        let corners = frontier.map { (x: x.position(points[$0].bytes), y: y.position(points[$0].row.bitsPerByte)) }
        if corners.count > 1 { svg.path(corners, style: "frontier") }
        for point in points { draw(point, x, y, into: &svg) }
        labels(x, y, into: &svg)
        return svg.markup(label: "Bits per byte over KV cache bytes per token, one point a model")
    }

    private func axes(_ x: PlotAxis, _ y: PlotAxis, into svg: inout SVG) {
        for tick in y.ticks(about: 6) {
            svg.line(left, y.position(tick.value), right, y.position(tick.value), style: "grid")
            svg.text(tick.text, left - 8, y.position(tick.value) + 4, style: "tick", anchor: "end")
        }
        var free = -Double.infinity
        for bytes in Set(points.map { $0.row.kvBytesPerToken }).sorted() {
            let position = x.position(Double(bytes))
            svg.line(position, bottom, position, bottom + 5, style: "axis")
            guard position - 30 > free else { continue }
            svg.text(byteCountText(bytes), position, bottom + 20, style: "tick", anchor: "middle")
            free = position + 30
        }
        svg.line(left, bottom, right, bottom, style: "axis")
        svg.text("KV cache bytes per token (log scale)", (left + right) / 2, bottom + 46, style: "name", anchor: "middle")
        svg.text("bits per byte", 18, (top + bottom) / 2, style: "name", anchor: "middle", rotated: true)
    }

    private func draw(_ point: Point, _ x: PlotAxis, _ y: PlotAxis, into svg: inout SVG) {
        let (cx, cy) = (x.position(point.bytes), y.position(point.row.bitsPerByte))
        let style = "c\(point.color % HTMLReport.colors)"
        if point.error > 0 {
            let (high, low) = (y.position(point.row.bitsPerByte + point.error), y.position(point.row.bitsPerByte - point.error))
            svg.line(cx, high, cx, low, style: "bar \(style)")
            svg.line(cx - 4, high, cx + 4, high, style: "bar \(style)")
            svg.line(cx - 4, low, cx + 4, low, style: "bar \(style)")
        }
        let text =
            "\(point.row.name): \(String(format: "%.4f", point.row.bitsPerByte)) bits per byte, \(point.row.kvBytesPerToken) bytes per token"
        svg.add(
            "<circle cx=\"\(SVG.text(cx))\" cy=\"\(SVG.text(cy))\" r=\"5\" class=\"point \(style)\"><title>\(text.escapedForHTML)</title></circle>"
        )
    }

    private func labels(_ x: PlotAxis, _ y: PlotAxis, into svg: inout SVG) {
        let places = points.map { (x: x.position($0.bytes), y: y.position($0.row.bitsPerByte)) }
        let bounds = LabelPlacement.Box(x: left + 2, y: top, width: svg.width - left - 4, height: bottom - top - 2)
        var placement = LabelPlacement(bounds: bounds, points: places)
        for (point, place) in zip(points, places).sorted(by: { $0.1.y < $1.1.y }) {
            let name = point.row.name.count > 24 ? point.row.name.prefix(23) + "…" : point.row.name[...]
            let width = Double(name.count) * 7.4 + 4
            let box = placement.place(width: width, besideX: place.x, y: place.y)
            let middle = box.y + box.height / 2
            if abs(middle - place.y) > 9 {
                let end = box.x > place.x ? box.x - 1 : box.x + box.width + 1
                svg.line(place.x, place.y, end, middle, style: "leader")
            }
            let isLeft = box.x < place.x
            svg.text(
                String(name), isLeft ? box.x + box.width : box.x, middle + 4.5, style: "label", anchor: isLeft ? "end" : "start")
        }
    }
}
