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

    /// A mark of a shape, which shows `title` when it is pointed at, if it is not empty.
    mutating func mark(
        _ x: Double, _ y: Double, radius: Double = 5, shape: Shape = .circle, style: String, title: String = ""
    ) {
        let tip = title.isEmpty ? "" : "<title>\(title.escapedForHTML)</title>"
        guard shape != .circle else {
            let place = "cx=\"\(Self.text(x))\" cy=\"\(Self.text(y))\" r=\"\(Self.text(radius))\""
            return add("<circle \(place) class=\"\(style)\">\(tip)</circle>")
        }
        let corners = shape.corners.map { "\(Self.text(x + radius * $0.x)) \(Self.text(y + radius * $0.y))" }
        add("<path d=\"M\(corners.joined(separator: "L"))Z\" class=\"\(style)\">\(tip)</path>")
    }

    /// An upright error bar between two heights.
    mutating func bar(_ x: Double, from high: Double, to low: Double, style: String) {
        line(x, high, x, low, style: style)
        for end in [high, low] { line(x - 4, end, x + 4, end, style: style) }
    }

    /// A small drawing of a mark for legends and tables.
    static func key(_ shape: Shape = .circle, style: String) -> String {
        var svg = SVG(width: 14, height: 14)
        svg.mark(7, 7, shape: shape, style: style)
        return svg.key
    }

    /// A small drawing of a line for legends, with a mark of `shape` on it where one is given.
    static func key(line: String, shape: Shape? = nil, style: String = "") -> String {
        var svg = SVG(width: 30, height: 14)
        svg.line(0, 7, 30, 7, style: line)
        if let shape { svg.mark(15, 7, radius: 4, shape: shape, style: style) }
        return svg.key
    }

    /// The drawing as a part of a legend's line.
    private var key: String {
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
    /// The text with HTML's special characters escaped.
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
