import Foundation

/// Elements of an inline SVG, coloured by the page's style sheet.
struct SVG {
    let width: Double
    let height: Double
    private var elements: [String] = []

    init(width: Double, height: Double) {
        self.width = width
        self.height = height
    }

    /// Adds an element as it is.
    mutating func add(_ element: String) { elements.append(element) }

    mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, style: String) {
        add(
            "<line x1=\"\(Self.text(x1))\" y1=\"\(Self.text(y1))\" x2=\"\(Self.text(x2))\" y2=\"\(Self.text(y2))\" class=\"\(style)\"/>"
        )
    }

    mutating func text(_ string: String, _ x: Double, _ y: Double, style: String, anchor: String = "start", rotated: Bool = false)
    {
        let turn = rotated ? " transform=\"rotate(-90 \(Self.text(x)) \(Self.text(y)))\"" : ""
        add(
            "<text x=\"\(Self.text(x))\" y=\"\(Self.text(y))\" text-anchor=\"\(anchor)\" class=\"\(style)\"\(turn)>\(string.escapedForHTML)</text>"
        )
    }

    mutating func path(_ points: [(x: Double, y: Double)], style: String) {
        let corners = points.map { "\(Self.text($0.x)) \(Self.text($0.y))" }
        add("<path d=\"M\(corners.joined(separator: "L"))\" class=\"\(style)\"/>")
    }

    /// A round mark, which shows `title` when it is pointed at, if it is not empty.
    mutating func mark(_ x: Double, _ y: Double, radius: Double = 5, style: String, title: String) {
        add(
            "<circle cx=\"\(Self.text(x))\" cy=\"\(Self.text(y))\" r=\"\(Self.text(radius))\" class=\"\(style)\">\(Self.tip(title))</circle>"
        )
    }

    private static func tip(_ title: String) -> String { title.isEmpty ? "" : "<title>\(title.escapedForHTML)</title>" }

    /// The shape of a mark.
    enum Shape: CaseIterable {
        case circle, square, diamond, triangle, invertedTriangle

        /// Corners about (0, 0) at radius 1; none for the circle.
        fileprivate var corners: [(x: Double, y: Double)] {
            switch self {
            case .circle: []
            case .square: [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)]
            case .diamond: [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)]
            case .triangle: [(0, -1.25), (1.2, 0.85), (-1.2, 0.85)]
            case .invertedTriangle: [(0, 1.25), (1.2, -0.85), (-1.2, -0.85)]
            }
        }
    }

    /// A mark of a shape, which shows `title` when it is pointed at.
    mutating func mark(_ x: Double, _ y: Double, radius: Double, shape: Shape, style: String, title: String) {
        guard shape != .circle else { return mark(x, y, radius: radius, style: style, title: title) }
        let corners = shape.corners.map { "\(Self.text(x + radius * $0.x)) \(Self.text(y + radius * $0.y))" }
        add("<path d=\"M\(corners.joined(separator: "L"))Z\" class=\"\(style)\">\(Self.tip(title))</path>")
    }

    /// A small drawing of a shape for a legend.
    static func key(_ shape: Shape) -> String {
        var svg = SVG(width: 14, height: 14)
        svg.mark(7, 7, radius: 5, shape: shape, style: "open c0", title: "")
        return svg.key
    }

    /// The drawing as a part of a legend's line.
    var key: String {
        "<svg class=\"key\" style=\"width: \(Int(width))px\" viewBox=\"0 0 \(Int(width)) \(Int(height))\" aria-hidden=\"true\">"
            + "\(elements.joined())</svg>"
    }

    /// The drawing with a `style` class; `label` is its text for screen readers.
    func markup(label: String, style: String = "") -> String {
        let style = style.isEmpty ? "" : " class=\"\(style)\""
        return """
            <svg\(style) viewBox="0 0 \(Self.text(width)) \(Self.text(height))" role="img" aria-label="\(label.escapedForHTML)">
            \(elements.joined(separator: "\n"))
            </svg>
            """
    }

    /// A coordinate to a tenth of a pixel.
    static func text(_ value: Double) -> String { String(format: "%.1f", value) }
}

extension String {
    /// The text with what HTML would take for markup escaped.
    var escapedForHTML: String {
        var escaped = ""
        for character in unicodeScalars {
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            case "\"": escaped += "&quot;"
            case "'": escaped += "&#39;"
            default: escaped.unicodeScalars.append(character)
            }
        }
        return escaped
    }
}
