/// The dimensions of a row-major tensor, outermost first.
public struct Shape: Sendable, Hashable, ExpressibleByArrayLiteral, CustomStringConvertible {
    /// The extent of each axis.
    public let dimensions: [Int]

    /// A shape of these extents, none negative; without any it is a scalar's.
    public init(_ dimensions: [Int]) {
        precondition(dimensions.allSatisfy { $0 >= 0 }, "Shape: \(dimensions) has a negative extent")
        self.dimensions = dimensions
    }

    /// A shape written out, such as `[batch, seq, hidden]`; the same precondition holds.
    public init(arrayLiteral elements: Int...) { self.init(elements) }

    /// Number of axes.
    public var rank: Int { dimensions.count }

    /// Number of elements; 1 for a scalar.
    public var count: Int { dimensions.reduce(1, *) }

    /// The extent of `axis`; negative axes count from the end.
    public subscript(axis: Int) -> Int { dimensions[axis < 0 ? axis + rank : axis] }

    /// The row-major strides, in elements.
    public var strides: [Int] {
        var strides = [Int](repeating: 1, count: rank)
        for axis in stride(from: rank - 2, through: 0, by: -1) { strides[axis] = strides[axis + 1] * dimensions[axis + 1] }
        return strides
    }

    /// The non-negative index of `axis`. Precondition: the axis exists.
    func axis(_ axis: Int, _ op: StaticString) -> Int {
        let index = axis < 0 ? axis + rank : axis
        precondition(index >= 0 && index < rank, "\(op): no axis \(axis) in \(self)")
        return index
    }

    /// The shape to which both operands broadcast by NumPy's rules; nil if they do not.
    public static func broadcast(_ a: Shape, _ b: Shape) -> Shape? {
        let rank = max(a.rank, b.rank)
        var result = [Int](repeating: 1, count: rank)
        for i in 1...max(rank, 1) where i <= rank {
            let x = i <= a.rank ? a[-i] : 1
            let y = i <= b.rank ? b[-i] : 1
            guard x == y || x == 1 || y == 1 else { return nil }
            result[rank - i] = x == 1 ? y : x
        }
        return Shape(result)
    }

    /// The extents as in messages: `[2, 3]`.
    public var description: String { "\(dimensions)" }
}
