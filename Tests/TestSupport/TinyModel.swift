import Kernels
import Models
import Random

/// Small models for tests, seeded.
public enum TinyModel {
    /// A configuration whose head dim is not hidden / heads.
    public static func config(
        vocabulary: Int = 61, hidden: Int = 32, feedForward: Int = 48, layers: Int = 2, heads: Int = 4, kvHeads: Int = 2,
        headDim: Int = 12, maxSequence: Int = 64, tied: Bool = true
    ) -> ModelConfig {
        ModelConfig(
            vocabularySize: vocabulary, hiddenSize: hidden, feedForwardSize: feedForward, layers: layers, heads: .all(heads),
            kvHeads: .all(kvHeads), headDim: .all(headDim), maxSequence: maxSequence, tiedEmbeddings: tied)
    }

    /// Weights large enough that attention is not uniform, biases of their size too.
    public static func parameters(_ config: ModelConfig, seed: UInt64 = 1, deviation: Double = 0.2) -> Parameters {
        var parameters = Parameters.initialized(for: config, seed: seed, deviation: deviation)
        for (name, shape) in config.weightShapes where name.hasSuffix(".bias") {
            var generator = SeededGenerator(seed: seed, name: name)
            parameters[name] = Weight(
                shape: shape, storage: Storage(copying: generator.normals(shape[0], deviation: deviation)))
        }
        return parameters
    }
}
