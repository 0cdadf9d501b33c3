import Foundation

/// Scores by depth (down) and length (across): a square a group in one hue from 0 to 1, the mean in percent written in it.
struct DepthHeatMap {
    private let groups: [LongContextSummary.Group]
    private let lengths: [Int]
    private let depths: [Double]

    /// A map of the groups that have a length and a depth; nil where none has.
    init?(_ groups: [LongContextSummary.Group]) {
        self.groups = groups.filter { $0.group.length != nil && $0.group.depth != nil }
        lengths = Set(self.groups.compactMap(\.group.length)).sorted()
        depths = Set(self.groups.compactMap(\.group.depth)).sorted()
        if self.groups.isEmpty { return nil }
    }

    /// The drawing; `label` names the model and the cache.
    func svg(label: String) -> String {
        let (left, top, side, height) = (96.0, 34.0, min(110, 780 / Double(max(lengths.count, 1))), 34.0)
        let right = left + side * Double(lengths.count)
        // As wide as other drawings, so that few lengths are not blown up.
        var svg = SVG(width: max(right + 20, 900), height: top + height * Double(depths.count) + 14)
        svg.text("depth", 14, top - 12, style: "name")
        for (column, length) in lengths.enumerated() {
            svg.text(
                "\(length)\(column == lengths.count - 1 ? " tokens" : "")", left + (Double(column) + 0.5) * side, top - 12,
                style: "tick", anchor: "middle")
        }
        for (row, depth) in depths.enumerated() {
            svg.text(
                Self.percent(depth) + " %", left - 12, top + (Double(row) + 0.5) * height + 4, style: "tick", anchor: "end")
        }
        for group in groups {
            guard let length = group.group.length, let depth = group.group.depth,
                let column = lengths.firstIndex(of: length), let row = depths.firstIndex(of: depth)
            else { continue }
            cell(
                &svg, group, "\(length) tokens, depth \(Self.percent(depth)) %", x: left + Double(column) * side,
                y: top + Double(row) * height, width: side, height: height)
        }
        svg.add(
            "<rect x=\"\(SVG.text(left))\" y=\"\(SVG.text(top))\" width=\"\(SVG.text(right - left))\""
                + " height=\"\(SVG.text(height * Double(depths.count)))\" class=\"frame\"/>")
        return svg.markup(label: "Score by depth and length, \(label)")
    }

    private func cell(
        _ svg: inout SVG, _ group: LongContextSummary.Group, _ place: String, x: Double, y: Double, width: Double, height: Double
    ) {
        let title =
            "\(place): \(Self.percent(group.mean)) % of \(group.n), "
            + "95 % interval \(Self.percent(group.low)) to \(Self.percent(group.high))"
        svg.add(
            "<g><title>\(title)</title><rect x=\"\(SVG.text(x))\" y=\"\(SVG.text(y))\" width=\"\(SVG.text(width))\""
                + " height=\"\(SVG.text(height))\" class=\"heat\" fill-opacity=\"\(String(format: "%.2f", 0.8 * group.mean))\"/>")
        svg.text(Self.percent(group.mean), x + width / 2, y + height / 2 + 4, style: "label", anchor: "middle")
        svg.add("</g>")
    }

    /// A share in percent, to one place where that is not 0.
    private static func percent(_ share: Double) -> String {
        let text = String(format: "%.1f", 100 * share)
        return text.hasSuffix(".0") ? String(text.dropLast(2)) : text
    }
}
