import Autograd
import Evaluation
import Kernels
import Models

/// The diagnosis of a conversion: its effect on the model before any training.
public struct Diagnosis: Sendable, Codable {
    /// One layer's findings.
    public struct Layer: Sendable, Codable {
        /// Index from 0.
        public var layer: Int
        /// KV heads before.
        public var from: Int
        /// KV heads after.
        public var to: Int
        /// Mean cosine of the key heads within a group, unaligned and after the best rotation of each RoPE plane.
        public var keySimilarity: Similarity
        /// Mean cosine of the value heads within a group, unaligned and after the best orthogonal maps.
        public var valueSimilarity: Similarity
        /// Norm of the plain mean of key heads over the heads' own: 1/√g for orthogonal heads.
        public var keyNormOfMean: Double
        /// Norm of the plain mean of value heads over the heads' own.
        public var valueNormOfMean: Double
        /// Mean entropy of the parent's attention over the calibration text, in nats.
        public var parentEntropy: Double
        /// Mean entropy of the child's attention over its own activations, in nats.
        public var childEntropy: Double
    }

    /// A cosine before and after alignment.
    public struct Similarity: Sendable, Codable, Equatable {
        /// The cosine of the unaligned heads.
        public var raw: Double
        /// The cosine of the aligned heads.
        public var aligned: Double
    }

    /// The method's name.
    public var method: String
    /// Each layer's findings.
    public var layers: [Layer]
    /// Number of calibration tokens.
    public var tokens: Int
    /// The parent's cross-entropy on the calibration text in nats a token.
    public var parentCrossEntropy: Double
    /// The untrained child's cross-entropy on the calibration text in nats a token.
    public var childCrossEntropy: Double

    /// The diagnosis of a parent and its converted child, over at most 4,096 tokens of the calibration text.
    public init(
        parent: (config: ModelConfig, parameters: Parameters), child: (config: ModelConfig, parameters: Parameters),
        method: String,
        calibration: Calibration
    ) throws {
        let models = [
            try DecoderLM(config: parent.config, parameters: parent.parameters),
            try DecoderLM(config: child.config, parameters: child.parameters),
        ]
        let batches = Array(calibration.batches.prefix(2))
        self.method = method
        tokens = batches.reduce(0) { $0 + $1.tokens.count }
        let layerCount = parent.config.layers
        var entropies = models.map { _ in [Double](repeating: 0, count: layerCount) }
        for (index, model) in models.enumerated() {
            for input in batches {
                var x = model.embedded(input)
                for layer in 0..<layerCount {
                    let heads = model.attentionEntropies(x, input, layer: layer)
                    entropies[index][layer] += heads.reduce(0, +) / Double(heads.count * batches.count)
                    x = model.blocks(layer..<layer + 1, x, input)[0]
                }
            }
        }
        layers = try (0..<layerCount).map { layer in
            let weights = try AttentionWeights(parent.config, parent.parameters, layer: layer)
            let to = child.config.kvHeads[layer]
            return try Self.layer(layer, weights, to: to, entropies: (entropies[0][layer], entropies[1][layer]))
        }
        parentCrossEntropy = Self.crossEntropy(models[0], batches)
        childCrossEntropy = Self.crossEntropy(models[1], batches)
    }

    private static func layer(_ index: Int, _ weights: AttentionWeights, to: Int, entropies: (Double, Double)) throws -> Layer {
        let context = LayerContext(layer: index, moment: nil, seed: 0)
        func pooled(_ matrix: DenseMatrix) -> ConversionReport.Projection {
            let rows = HeadRows(matrix, headDim: weights.headDim)
            let mean = HeadGroup.all(of: weights, into: to).flatMap { group in
                HeadGroup.mean(matrix.rows(group.rows), heads: group.heads.count).values
            }
            let child = DenseMatrix(rows: to * weights.headDim, columns: matrix.columns, values: mean)
            return ConversionReport.Projection(parent: rows, child: HeadRows(child, headDim: weights.headDim))
        }
        let (key, value) = (pooled(weights.key), pooled(weights.value))
        let (keys, values) = try HeadGrouping.alignedCosines(weights, context)
        var (alignedKey, alignedValue, pairs) = (0.0, 0.0, 0)
        for group in HeadGroup.all(of: weights, into: to) {
            for i in group.heads {
                for j in group.heads where j < i {
                    alignedKey += keys[i, j]
                    alignedValue += values[i, j]
                    pairs += 1
                }
            }
        }
        let count = Double(max(pairs, 1))
        return Layer(
            layer: index, from: weights.kvHeads, to: to,
            keySimilarity: Similarity(raw: key.similarity, aligned: pairs == 0 ? 1 : alignedKey / count),
            valueSimilarity: Similarity(raw: value.similarity, aligned: pairs == 0 ? 1 : alignedValue / count),
            keyNormOfMean: key.normRatio, valueNormOfMean: value.normRatio, parentEntropy: entropies.0,
            childEntropy: entropies.1)
    }

    /// The mean cross-entropy over all tokens but the last of each window.
    static func crossEntropy(_ model: DecoderLM, _ batches: [ModelInput]) -> Double {
        var (sum, scored) = (0.0, 0)
        for input in batches {
            let targets = (0..<input.batch).flatMap { row -> [Int32] in
                Array(input.tokens[row * input.seq + 1..<(row + 1) * input.seq]) + [-1]
            }
            sum += model.losses(input, targets: targets).reduce(0) { $0 + Double($1) }
            scored += input.batch * (input.seq - 1)
        }
        return sum / Double(max(scored, 1))
    }
}
