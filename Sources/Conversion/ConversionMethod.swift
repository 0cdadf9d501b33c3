import Random

/// Projection rows of a set of KV heads: `heads` matrices of [headDim, width], one after the other.
public struct HeadRows: Sendable, Equatable {
    /// Heads in `values`.
    public var heads: Int
    /// Rows of each head.
    public var headDim: Int
    /// Columns: the hidden size.
    public var width: Int
    /// [heads, headDim, width].
    public var values: [Float]

    /// Rows laid out head by head; precondition: `values` has heads · headDim · width of them.
    public init(heads: Int, headDim: Int, width: Int, values: [Float]) {
        precondition(
            values.count == heads * headDim * width, "HeadRows: \(values.count) values for [\(heads), \(headDim), \(width)]")
        self.heads = heads
        self.headDim = headDim
        self.width = width
        self.values = values
    }

    /// The values of head `index`, [headDim, width].
    public func head(_ index: Int) -> ArraySlice<Float> { values[index * headDim * width..<(index + 1) * headDim * width] }
}

/// Which of the two cached projections a group of heads belongs to.
public enum KVProjection: String, Sendable, CaseIterable {
    /// Keys: `k_proj`, the weight's name on disk.
    case key = "k_proj"
    /// Values: `v_proj`.
    case value = "v_proj"
}

/// How one group of KV heads becomes one head.
public protocol ConversionMethod: Sendable {
    /// The name `--method` and recipes use.
    static var name: String { get }
    /// One line for `--help`.
    static var summary: String { get }
    /// The group's heads in, one head's rows [headDim, width] out; groups of one are never asked for.
    ///
    /// `generator` is the method's own for this layer, projection and group.
    func merge(_ group: HeadRows, generator: inout SeededGenerator) -> [Float]
}

/// The methods there are, by name.
public enum ConversionMethods {
    /// Every method; the first is the default.
    public static let all: [any (ConversionMethod & SendableMetatype).Type] = [
        MeanMethod.self, FirstMethod.self, RandomMethod.self,
    ]

    /// The method called `name`, or nil.
    public static func named(_ name: String) -> (any ConversionMethod)? {
        switch name {
        case MeanMethod.name: MeanMethod()
        case FirstMethod.name: FirstMethod()
        case RandomMethod.name: RandomMethod()
        default: nil
        }
    }

    /// Every name, in order.
    public static var names: [String] { all.map { $0.name } }
}
