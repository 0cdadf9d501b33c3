/// Nested loops over several operands: each axis has an extent and, for each operand, a stride in elements.
///
/// Axes of extent 1 are dropped, and adjacent axes that every operand traverses contiguously are merged, so that the innermost
/// loop is as long as possible: [rows, width] + [width] has an axis of rows with strides (width, 0) and one of width with (1, 1).
struct LoopNest {
    struct Axis: Sendable {
        var extent: Int
        var strides: [Int]
    }

    private(set) var axes: [Axis] = []

    /// Loops over `extents`, outermost first; `strides[operand][axis]`.
    init(extents: [Int], strides: [[Int]]) {
        self.init(extents.enumerated().map { index, extent in Axis(extent: extent, strides: strides.map { $0[index] }) })
    }

    init(_ axes: [Axis]) {
        for axis in axes where axis.extent != 1 {
            if let last = self.axes.last, zip(last.strides, axis.strides).allSatisfy({ $0 == $1 * axis.extent }) {
                self.axes[self.axes.count - 1] = Axis(extent: last.extent * axis.extent, strides: axis.strides)
            } else {
                self.axes.append(axis)
            }
        }
    }

    /// Iterations in all; 0 where some extent is 0.
    var count: Int { axes.reduce(1) { $0 * $1.extent } }

    /// The operand's offset at iteration `index`, the last axis running fastest.
    func offset(_ index: Int, operand: Int) -> Int {
        var rest = index
        var offset = 0
        for axis in axes.reversed() {
            offset += rest % axis.extent * axis.strides[operand]
            rest /= axis.extent
        }
        return offset
    }

    /// Removes and returns the innermost axis; nil where every extent is 1.
    mutating func removeInnermost() -> Axis? { axes.popLast() }

    /// Row-major strides of `shape`, aligned to the right of `rank` axes; 0 along broadcast axes of extent 1.
    static func broadcastStrides(_ shape: [Int], rank: Int) -> [Int] {
        var strides = [Int](repeating: 0, count: rank)
        var step = 1
        for axis in shape.indices.reversed() {
            if shape[axis] != 1 { strides[rank - shape.count + axis] = step }
            step *= shape[axis]
        }
        return strides
    }
}
