import Kernels
import Models

/// The two orders of the rows of a query or key projection, which RoPE rotates in pairs.
///
/// Half-split, (i, i + d/2), is kvlab's and Hugging Face's; interleaved, (2i, 2i + 1), is llama2.c's and that of GGUF's llama
/// architecture. Biases are permuted alike.
enum RotaryOrder {
    /// The weight with each head's rows reordered from interleaved to half-split, whenever it is read; other weights are
    /// unchanged.
    static func halfSplit(_ weight: Weight, _ name: WeightName, _ config: ModelConfig) -> Weight {
        reordered(weight, name, config) { row, headDim in 2 * (row % (headDim / 2)) + row / (headDim / 2) }
    }

    /// The weight with each head's rows reordered from half-split to interleaved, whenever it is read; other weights are
    /// unchanged.
    static func interleaved(_ weight: Weight, _ name: WeightName, _ config: ModelConfig) -> Weight {
        reordered(weight, name, config) { row, headDim in row / 2 + row % 2 * (headDim / 2) }
    }

    /// The weight with row r of each head taken from row `source(r, headDim)`.
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
