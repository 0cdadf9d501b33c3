import Kernels
import Models
import Random

/// Projection rows of a set of KV heads: `heads` matrices of [headDim, width], one after the other.
struct HeadRows: Sendable, Equatable {
    /// Heads in `values`.
    var heads: Int
    /// Rows of each head.
    var headDim: Int
    /// Columns: the hidden size.
    var width: Int
    /// [heads, headDim, width].
    var values: [Float]

    init(_ matrix: DenseMatrix, headDim: Int) {
        (heads, self.headDim, width) = (matrix.rows / headDim, headDim, matrix.columns)
        values = matrix.values.map { Float($0) }
    }

    /// The values of head `index`, [headDim, width].
    func head(_ index: Int) -> ArraySlice<Float> { values[index * headDim * width..<(index + 1) * headDim * width] }
}

/// A merge of each projection's rows by themselves, which leaves queries and output projection unchanged.
protocol PoolingMethod: HeadMerge {
    /// The rows [headDim, width] of the head merged from `group`.
    ///
    /// `generator` is seeded for this layer, projection and group.
    func merge(_ group: HeadRows, generator: inout SeededGenerator) -> [Float]
}

extension PoolingMethod {
    /// Keys and values merged group by group.
    func convert(_ layer: AttentionWeights, to kvHeads: Int, _ context: LayerContext) -> LayerConversion {
        var child = layer
        child.kvHeads = kvHeads
        child.key = merge(layer.key, layer, to: kvHeads, .key, context)
        child.value = merge(layer.value, layer, to: kvHeads, .value, context)
        return LayerConversion(child: child)
    }

    private func merge(
        _ matrix: DenseMatrix, _ layer: AttentionWeights, to kvHeads: Int, _ projection: WeightName.Module,
        _ context: LayerContext
    ) -> DenseMatrix {
        let size = layer.kvHeads / kvHeads * layer.headDim
        let name = WeightName(projection, layer: context.layer)
        let values = (0..<kvHeads).flatMap { group in
            var generator = SeededGenerator(seed: context.seed, name: "\(name)/\(group)")
            let rows = HeadRows(matrix.rows(group * size..<(group + 1) * size), headDim: layer.headDim)
            return merge(rows, generator: &generator).map(Double.init)
        }
        return DenseMatrix(rows: kvHeads * layer.headDim, columns: matrix.columns, values: values)
    }
}
