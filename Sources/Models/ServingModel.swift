import Files
import Kernels

/// The serving form of a decoder: weights packed once in the checkpoint's element type, no gradients.
///
/// One pass takes the new tokens of all sequences as the rows of one matrix. It is batch-invariant: a row's result doesn't depend
/// on the other rows.
public struct ServingModel: Sendable {
    /// The model's shape.
    public let config: ModelConfig
    /// The SHA-256 of the stored key projections, by which scores of heads are matched to their model.
    public let identity: String
    private let embedding: EmbeddingRows
    private let layers: [Layer]
    /// Position embeddings, where positions are learned.
    private let positions: EmbeddingRows?
    private let finalNorm: Norm<Storage>
    private let head: PackedLinear

    private struct Layer: Sendable {
        var attentionNorm: Norm<Storage>
        var attention: any ServingAttention
        var feedForwardNorm: Norm<Storage>
        var feedForward: ServingFeedForward
    }

    /// Packs `parameters` and keeps no view of them: their file may change or be removed afterwards.
    ///
    /// Each weight is released once it is packed. If the caller holds no other reference, the peak is the weights once, plus a
    /// layer's and the embedding's.
    public init(config: ModelConfig, parameters: consuming Parameters) throws(ParametersError) {
        try parameters.validate(against: config)
        identity = Self.identity(of: parameters, config)
        var left = consume parameters
        func take(_ name: WeightName, _ shape: [Int]) throws(ParametersError) -> Weight {
            let weight = try left.weight(name, shape: shape)
            left["\(name)"] = nil
            // Matrices are packed; vectors are copied into memory of the process.
            return shape.count == 1 ? weight.owned : weight
        }
        self.config = config
        do {
            let (embeddings, output) = (try EmbeddingWeights(config, take), try HeadWeights(config, take))
            (embedding, positions) = (EmbeddingRows(embeddings.tokens), embeddings.positions.map { EmbeddingRows($0) })
            (finalNorm, head) = (Norm(output.norm), PackedLinear([output.projection ?? embeddings.tokens]))
        }
        var rotaries: [Int: RotaryTable] = [:]
        var layers: [Layer] = []
        for index in 0..<config.layers {
            let (weights, rotary) = (try LayerWeights(config, layer: index, take), config.rotary(index, among: &rotaries))
            layers.append(
                Layer(
                    attentionNorm: Norm(weights.attentionNorm),
                    attention: weights.attention.servingAttention(config, layer: index, rotary: rotary),
                    feedForwardNorm: Norm(weights.feedForwardNorm),
                    feedForward: ServingFeedForward(weights.feedForward, activation: config.activation)))
        }
        self.layers = layers
    }

    private static func identity(of parameters: borrowing Parameters, _ config: ModelConfig) -> String {
        var hasher = SHA256Digest.Hasher()
        for layer in 0..<config.layers {
            for module in [WeightName.Module.key, .compress] {
                guard let weight = parameters[WeightName(module, layer: layer)] else { continue }
                unsafe weight.withUnsafeBytes { unsafe hasher.update($0) }
            }
        }
        return hasher.finalize().hex
    }

    /// Bytes of the packed weights, all of which every step reads.
    public var weightBytes: Int {
        layers.reduce(head.byteCount) {
            $0 + $1.attention.weightBytes + $1.feedForward.weightBytes
        }
    }

    /// The logits of the step's rows `rows` (ascending), [rows, vocab]; keys and values are stored in `cache`.
    public func logits(_ step: RaggedBatch, rows: [Int32], cache: inout some KVCache) -> Storage {
        let hidden = config.hiddenSize
        let count = step.tokens.count
        let positions = step.positions(in: cache)
        precondition(
            positions.allSatisfy { Int($0) < config.maxSequence }, "ServingModel: a position is past \(config.maxSequence)")
        var x = embedding.rows(of: step.tokens)
        if let vectors = self.positions { Elementwise.add(vectors.rows(of: positions), into: x) }
        for (index, layer) in layers.enumerated() {
            let normed = layer.attentionNorm(x, rows: count, for: layer.attention.elementType)
            var attended = layer.attention.attend(normed, step, positions, layer: index, cache: &cache)
            // After the last attention only the requested rows are computed.
            var left = count
            if index == layers.count - 1, rows.count < count {
                left = rows.count
                (x, attended) = (gathered(x, rows, hidden), gathered(attended, rows, layer.attention.outputWidth))
            }
            // With a parallel residual the feed-forward layer reads attention's input, else its output.
            let isParallel = config.hasParallelResidual == true
            let read = isParallel ? layer.feedForwardNorm(x, rows: left, for: layer.feedForward.elementType) : nil
            layer.attention.project(attended, rows: left, into: x)
            layer.feedForward.add(
                read ?? layer.feedForwardNorm(x, rows: left, for: layer.feedForward.elementType), into: x)
        }
        cache.commit(step)
        cache.finish(step, by: self)
        let logits = Storage(count: rows.count * config.vocabularySize)
        head.run(finalNorm(x, rows: rows.count, for: head.elementType), into: logits)
        return logits
    }

    /// The logits of each sequence's last token, [sequences, vocab].
    public func logits(_ step: RaggedBatch, cache: inout some KVCache) -> Storage {
        logits(step, rows: step.lastRows, cache: &cache)
    }

    private func gathered(_ x: Storage, _ rows: [Int32], _ width: Int) -> Storage {
        let y = Storage(count: rows.count * width)
        Gather.rows(of: x, at: rows, width: width, into: y)
        return y
    }
}
