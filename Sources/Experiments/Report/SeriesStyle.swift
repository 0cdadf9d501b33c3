/// The looks of one series of a drawing: a colour, the shape of its marks and the dashes of its lines.
///
/// Twenty series in a row differ in shape or dashes too, so that they are told apart without colours, in print and by the colour-blind.
struct SeriesStyle {
    /// The series' place.
    let index: Int

    /// Series of a drawing by place; the first has the plainest looks.
    init(_ index: Int) { self.index = index }

    /// The style sheet's class of its colour.
    var color: String { "c\(index % HTMLReport.colors)" }
    /// The shape of its marks.
    var shape: SVG.Shape { SVG.Shape.allCases[index % SVG.Shape.allCases.count] }
    /// The classes of its lines.
    var line: String { Self.line(color, dash: index % 4) }

    /// The classes of a line of a colour whose dashes are of kind `dash`, 0 for none.
    static func line(_ color: String, dash: Int) -> String { dash == 0 ? color : "\(color) dash\((dash - 1) % 3 + 1)" }

    /// A small drawing of its mark for legends and tables.
    var key: String { SVG.key(shape, style: "point \(color)") }

    /// A small drawing of its mark on its line.
    var lineKey: String { SVG.key(line: "curve \(line)", shape: shape, style: "point \(color)") }
}

extension SVG {
    /// The widths that a drawing is made for, of which a page shows the one that suits it.
    enum Layout: String, CaseIterable {
        /// A page and print.
        case wide
        /// A phone.
        case narrow

        /// Pixels.
        var width: Double { self == .wide ? 900 : 420 }
        /// Whether it is for a phone.
        var isNarrow: Bool { self == .narrow }
        /// The number of ticks where the wide layout has `count`.
        func ticks(_ count: Int) -> Int { isNarrow ? max(3, count / 2) : count }
    }

    /// A figure of the drawing in every layout, above its legend.
    static func figure(label: String, legend: String = "", _ draw: (Layout) -> SVG) -> String {
        let drawings = Layout.allCases.map { draw($0).markup(label: label, style: $0.rawValue) }
        return "<figure>" + drawings.joined(separator: "\n") + (legend.isEmpty ? "" : "\n" + legend) + "</figure>"
    }
}
