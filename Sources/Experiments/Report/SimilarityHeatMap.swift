import Conversion
import Foundation

/// The cosines of a model's KV heads layer by layer: below the diagonal the heads as they are, above it after alignment.
struct SimilarityHeatMap {
    private let layers: [HeadSimilarity]

    init(_ layers: [HeadSimilarity]) { self.layers = layers }

    /// The drawing: a row for keys and a row for values, a square a layer; several rows of squares where layers are many.
    var svg: String {
        let perRow = min(max(layers.count, 1), 12)
        let (left, top, gap) = (64.0, 26.0, 10.0)
        let side = min(120, (936 - left) / Double(perRow) - gap)
        let lines = (layers.count + perRow - 1) / perRow
        var svg = SVG(width: 940, height: top + Double(2 * lines) * (side + gap + 16))
        var y = top
        for line in 0..<lines {
            for (name, pairs) in [("keys", \HeadSimilarity.keys), ("values", \HeadSimilarity.values)] {
                svg.text(name, left - 10, y + side / 2 + 4, style: "name", anchor: "end")
                for (column, layer) in (line * perRow..<min((line + 1) * perRow, layers.count)).enumerated() {
                    let x = left + Double(column) * (side + gap)
                    if name == "keys" {
                        svg.text("layer \(layer)", x + side / 2, y - 8, style: "tick", anchor: "middle")
                    }
                    square(&svg, layers[layer][keyPath: pairs], x: x, y: y, side: side)
                }
                y += side + gap
            }
            y += 32
        }
        return svg.markup(label: "Cosine similarity of KV heads in each layer, as they are and aligned")
    }

    private func square(
        _ svg: inout SVG, _ pairs: (raw: HeadSimilarity.Pairs, aligned: HeadSimilarity.Pairs), x: Double, y: Double, side: Double
    ) {
        let heads = pairs.raw.count
        let cell = side / Double(max(heads, 1))
        for i in 0..<heads {
            for j in 0..<heads where i != j {
                let value = i > j ? pairs.raw[i][j] : pairs.aligned[i][j]
                let strength = min(1, max(0, abs(value)))
                let title = "\(i > j ? "raw" : "aligned") similarity of heads \(min(i, j)) and \(max(i, j)): " + decimal(value)
                svg.add(
                    "<rect x=\"\(SVG.text(x + Double(j) * cell))\" y=\"\(SVG.text(y + Double(i) * cell))\" width=\"\(SVG.text(cell))\""
                        + " height=\"\(SVG.text(cell))\" class=\"\(value < 0 ? "heat minus" : "heat")\""
                        + " fill-opacity=\"\(decimal(strength))\"><title>\(title)</title></rect>")
            }
        }
        svg.add(
            "<rect x=\"\(SVG.text(x))\" y=\"\(SVG.text(y))\" width=\"\(SVG.text(side))\" height=\"\(SVG.text(side))\" class=\"frame\"/>"
        )
    }

    private func decimal(_ value: Double) -> String { String(format: "%.2f", value) }
}
