/// Finds places for labels beside their points where they cover neither each other nor other points.
struct LabelPlacement {
    /// An upright rectangle in pixels.
    struct Box: Equatable {
        var x: Double
        var y: Double
        var width: Double
        var height: Double

        func overlaps(_ other: Box) -> Bool {
            x < other.x + other.width && other.x < x + width && y < other.y + other.height && other.y < y + height
        }
    }

    /// The box that the labels must stay in.
    let bounds: Box
    private var taken: [Box]
    private static let height = 16.0
    private static let gap = 10.0

    /// Starts with the points' own boxes taken.
    init(bounds: Box, points: [(x: Double, y: Double)]) {
        self.bounds = bounds
        taken = points.map { Box(x: $0.x - 6, y: $0.y - 6, width: 12, height: 12) }
    }

    /// The nearest free place for a label of `width` pixels beside (x, y): right of it and a little above, off the line that
    /// falls to the right, then left, then further up or down.
    ///
    /// The label stands right of its point where nothing is free.
    mutating func place(width: Double, besideX x: Double, y: Double) -> Box {
        let right = Box(x: x + Self.gap, y: y - Self.height * 0.8, width: width, height: Self.height)
        for shift in 0..<40 {
            for sign in shift == 0 ? [1.0] : [-1.0, 1.0] {
                for left in [false, true] {
                    var box = right
                    if left { box.x = x - Self.gap - width }
                    box.y += sign * Double(shift) * Self.height / 2
                    if isInside(box) && !taken.contains(where: box.overlaps) {
                        taken.append(box)
                        return box
                    }
                }
            }
        }
        taken.append(right)
        return right
    }

    private func isInside(_ box: Box) -> Bool {
        box.x >= bounds.x && box.y >= bounds.y && box.x + box.width <= bounds.x + bounds.width
            && box.y + box.height <= bounds.y + bounds.height
    }
}

extension SVG {
    /// Writes names beside their points, off these and `others`, with leaders where they stand further away.
    mutating func label(
        _ points: [(name: String, x: Double, y: Double)], in bounds: LabelPlacement.Box,
        avoiding others: [(x: Double, y: Double)] = []
    ) {
        var placement = LabelPlacement(bounds: bounds, points: points.map { ($0.x, $0.y) } + others)
        for point in points.sorted(by: { $0.y < $1.y }) {
            let name = point.name.count > 24 ? point.name.prefix(23) + "…" : point.name[...]
            let box = placement.place(width: Double(name.count) * 7.4 + 4, besideX: point.x, y: point.y)
            let (middle, isLeft) = (box.y + box.height / 2, box.x < point.x)
            if abs(middle - point.y) > 9 {
                line(point.x, point.y, isLeft ? box.x + box.width + 1 : box.x - 1, middle, style: "leader")
            }
            text(
                String(name), isLeft ? box.x + box.width : box.x, middle + 4.5, style: "label", anchor: isLeft ? "end" : "start")
        }
    }
}
