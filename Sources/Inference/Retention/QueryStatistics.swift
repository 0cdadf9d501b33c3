import Kernels
import Models

/// Mean and covariance of a layer's queries before rotation, summed in Float64 row by row: they do not depend on the chunks in
/// which the queries came.
public struct QueryStatistics: Sendable {
    /// Query heads.
    public let heads: Int
    /// Width of a query's head.
    public let dim: Int
    /// Factor on the scores.
    public let scale: Float
    /// Queries seen of each head.
    public private(set) var count = 0
    /// Σ q [heads, dim] and Σ q·qᵀ [heads, dim, dim].
    private var sums: [Double]
    private var products: [Double]
    private let rotation: QueryRotation

    init(_ queries: CachedQueries, rotation: QueryRotation) {
        (heads, dim, scale, self.rotation) = (queries.heads, queries.geometry.keyDim, queries.scale, rotation)
        sums = [Double](repeating: 0, count: heads * dim)
        products = [Double](repeating: 0, count: heads * dim * dim)
    }

    var byteCount: Int { 8 * (sums.count + products.count) }

    /// Adds rows of `queries`, the first at `position`.
    mutating func add(_ queries: CachedQueries, rows: Range<Int>, position: Int) {
        let width = heads * dim
        let found = rotation.unrotated(queries, rows: rows, position: position)
        for row in 0..<rows.count {
            for head in 0..<heads {
                let (start, product) = (row * width + head * dim, head * dim * dim)
                for i in 0..<dim {
                    let x = Double(found[start + i])
                    sums[head * dim + i] += x
                    for j in 0..<dim { products[product + i * dim + j] += x * Double(found[start + j]) }
                }
            }
        }
        count += rows.count
    }

    /// Mean [dim] and covariance [dim, dim] of the queries of `head`, rotated by the mean rotation over `positions`: R̄μ and
    /// R̄ΣR̄ᵀ.
    public func expected(_ head: Int, over positions: Range<Int>) -> (mean: [Double], covariance: [Double]) {
        let n = Double(count)
        let mean = sums[head * dim..<(head + 1) * dim].map { $0 / n }
        var covariance = [Double](repeating: 0, count: dim * dim)
        for i in 0..<dim {
            for j in 0..<dim { covariance[i * dim + j] = products[(head * dim + i) * dim + j] / n - mean[i] * mean[j] }
        }
        let turn = rotation.mean(over: positions, dim: dim)
        // R̄Σ row pair by row pair, then (R̄Σ)R̄ᵀ column pair by column pair.
        let rotated = (0..<dim).map { column in turn.apply((0..<dim).map { covariance[$0 * dim + column] }) }
        for i in 0..<dim {
            let row = turn.apply((0..<dim).map { rotated[$0][i] })
            for j in 0..<dim { covariance[i * dim + j] = row[j] }
        }
        return (turn.apply(mean), covariance)
    }
}

/// The rotary embedding of a layer's queries, for positions beyond the model's too.
struct QueryRotation: Sendable {
    private let config: ModelConfig
    private let width: Int
    /// The first rotated element of a head.
    private let start: Int
    /// The table of the model's own positions; nil where nothing is rotated.
    private let table: RotaryTable?

    init(_ config: ModelConfig, layer: Int) {
        self.config = config
        width = config.rotaryDim(layer)
        start = config.attentionShape?.rotaryStart ?? 0
        table = width > 0 ? config.rotaryTable(headDim: width) : nil
    }

    /// Rows of queries [rows, heads·dim] before rotation; the first row's position is `position`.
    func unrotated(_ queries: CachedQueries, rows: Range<Int>, position: Int) -> [Float] {
        let (width, dim) = (queries.heads * queries.geometry.keyDim, queries.geometry.keyDim)
        let stride = queries.rowWidth
        let plain = Storage(
            copying: rows.flatMap { queries.rows.array($0 * stride..<$0 * stride + width) })
        guard let table else { return plain.array() }
        table.rotate(
            plain, positions: (0..<rows.count).map { Int32(position + $0) }, rows: rows.count, heads: queries.heads,
            headDim: dim, start: start, inverse: true)
        // The inverse turns back and scales once more.
        let square = table.amplitude * table.amplitude
        guard square != 1 else { return plain.array() }
        var values = plain.array()
        for row in 0..<rows.count * queries.heads {
            for index in row * dim + start..<row * dim + start + self.width { values[index] /= square }
        }
        return values
    }

    /// The mean rotation over `positions` of heads of `dim` elements.
    func mean(over positions: Range<Int>, dim: Int) -> MeanRotation {
        guard width > 0, !positions.isEmpty else { return MeanRotation(start: 0, cosine: [], sine: []) }
        var long = config
        long.maxSequence = max(config.maxSequence, positions.upperBound)
        let half = width / 2
        // A vector of ones, then zeros, becomes the cosines, then the sines.
        let unit = [Float](repeating: 1, count: half) + [Float](repeating: 0, count: half)
        let rows = Storage(copying: positions.flatMap { _ in unit })
        long.rotaryTable(headDim: width).rotate(
            rows, positions: positions.map { Int32($0) }, rows: positions.count, heads: 1, headDim: width)
        let values = rows.array()
        func mean(_ column: Int) -> Double {
            (0..<positions.count).reduce(0) { $0 + Double(values[$1 * width + column]) } / Double(positions.count)
        }
        return MeanRotation(
            start: start, cosine: (0..<half).map(mean), sine: (half..<width).map(mean))
    }
}

/// A mean of rotations: plane i pairs elements start + i and start + i + planes, as in ``RotaryTable``.
struct MeanRotation {
    let start: Int
    let cosine: [Double]
    let sine: [Double]

    func apply(_ vector: [Double]) -> [Double] {
        var result = vector
        for plane in cosine.indices {
            let (first, second) = (start + plane, start + plane + cosine.count)
            result[first] = cosine[plane] * vector[first] - sine[plane] * vector[second]
            result[second] = sine[plane] * vector[first] + cosine[plane] * vector[second]
        }
        return result
    }
}
