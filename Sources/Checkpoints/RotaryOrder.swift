import Kernels
import Models

/// The two orders in which files keep the rows of a query or key projection that RoPE turns in pairs.
///
/// Half-split, (i, i + d/2), is kvlab's and Hugging Face's; interleaved, (2i, 2i + 1), is that of llama2.c and of GGUF's
/// llama architecture. The same permutation goes for biases.
enum RotaryOrder {
    /// Rows of each head from interleaved into half-split order, whenever the weight is read; a weight that is not turned as it is.
    static func halfSplit(_ weight: Weight, _ name: WeightName, _ config: ModelConfig) -> Weight {
        reordered(weight, name, config) { row, headDim in 2 * (row % (headDim / 2)) + row / (headDim / 2) }
    }

    /// Rows of each head from half-split into interleaved order, whenever the weight is read; a weight that is not turned as it is.
    static func interleaved(_ weight: Weight, _ name: WeightName, _ config: ModelConfig) -> Weight {
        reordered(weight, name, config) { row, headDim in row / 2 + row % 2 * (headDim / 2) }
    }

    /// Row r of each head comes from the row `source` gives.
    private static func reordered(
        _ weight: Weight, _ name: WeightName, _ config: ModelConfig, _ source: @escaping @Sendable (Int, Int) -> Int
    ) -> Weight {
        guard let layer = name.layer, [.query, .key].contains(name.module) else { return weight }
        let headDim = config.headDim[layer]
        let rows = (0..<weight.shape[0]).map { row in
            let from = row - row % headDim + source(row % headDim, headDim)
            return from..<from + 1
        }
        return StoredWeight(name: "\(name)", shape: weight.shape, rows: rows).taken(from: weight)
    }
}
