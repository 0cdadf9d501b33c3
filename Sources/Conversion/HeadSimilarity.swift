import Kernels
import Models

/// The similarity of each pair of a layer's KV heads, which grouping and alignment exploit.
public struct HeadSimilarity: Sendable {
    /// A cosine for each pair of heads, [heads][heads].
    public typealias Pairs = [[Double]]

    /// The keys' cosines, unaligned and after the best rotation of each RoPE plane.
    public var keys: (raw: Pairs, aligned: Pairs)
    /// The values' cosines, unaligned and after the best orthogonal map.
    public var values: (raw: Pairs, aligned: Pairs)

    /// The similarities of one layer, by its weights alone.
    public init(_ config: ModelConfig, _ parameters: Parameters, layer: Int) throws {
        let weights = try AttentionWeights(config, parameters, layer: layer)
        let context = LayerContext(layer: layer, moment: nil, seed: 0)
        let aligned = try HeadGrouping.alignedCosines(weights, context)
        func rows(_ matrix: DenseMatrix) -> Pairs {
            (0..<matrix.rows).map { row in (0..<matrix.columns).map { matrix[row, $0] } }
        }
        func raw(_ matrix: DenseMatrix) -> Pairs {
            let gram = matrix.timesTransposed(matrix)
            func product(_ i: Int, _ j: Int) -> Double {
                zip(weights.range(of: i), weights.range(of: j)).reduce(0) { $0 + gram[$1.0, $1.1] }
            }
            let heads = 0..<weights.kvHeads
            return heads.map { i in
                heads.map { j in
                    let norms = (product(i, i) * product(j, j)).squareRoot()
                    return i == j ? 1 : norms > 0 ? product(i, j) / norms : 0
                }
            }
        }
        keys = (raw(weights.key), rows(aligned.keys))
        values = (raw(weights.value), rows(aligned.values))
    }
}
