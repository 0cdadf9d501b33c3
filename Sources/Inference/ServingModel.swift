import Kernels
import Models

/// A decoder made ready for serving: weights packed once in the type the checkpoint has them in, nothing kept for gradients.
///
/// One pass takes the new tokens of all sequences as the rows of one matrix. A row's result doesn't depend on the other rows.
public struct ServingModel: Sendable {
    /// The model's shape.
    public let config: ModelConfig
    private let embedding: EmbeddingRows
    private let layers: [Layer]
    private let finalNorm: Storage
    private let head: PackedLinear
    private let epsilon: Float

    private struct Layer: Sendable {
        var attentionNorm: Storage
        var attention: any ServingAttention
        var feedForwardNorm: Storage
        var gateUp: PackedLinear
        var down: PackedLinear
    }

    /// Packs `parameters`, which are not needed afterwards but for the embedding's rows.
    public init(config: ModelConfig, parameters: Parameters) throws(ParametersError) {
        try parameters.validate(against: config)
        func take(_ name: String) throws(ParametersError) -> Weight {
            guard let weight = parameters[name] else { throw .missing(name: name, shape: []) }
            return weight
        }
        self.config = config
        epsilon = Float(config.normEpsilon)
        let embedding = try take("model.embed_tokens.weight")
        self.embedding = EmbeddingRows(embedding)
        finalNorm = try take("model.norm.weight").float32()
        head = PackedLinear([config.tiedEmbeddings ? embedding : try take("lm_head.weight")])
        var rotaries: [Int: RotaryTable] = [:]
        var layers: [Layer] = []
        for index in 0..<config.layers {
            let rotaryDim = config.rotaryDim(index)
            let rotary = rotaries[rotaryDim] ?? config.rotaryTable(headDim: rotaryDim)
            rotaries[rotaryDim] = rotary
            let prefix = "model.layers.\(index)."
            let attention = try Self.attention(config, layer: index, rotary: rotary) {
                (name: String) throws(ParametersError) in try take(prefix + "self_attn." + name)
            }
            layers.append(
                Layer(
                    attentionNorm: try take(prefix + "input_layernorm.weight").float32(), attention: attention,
                    feedForwardNorm: try take(prefix + "post_attention_layernorm.weight").float32(),
                    gateUp: PackedLinear(
                        gate: try take(prefix + "mlp.gate_proj.weight"), up: try take(prefix + "mlp.up_proj.weight")),
                    down: PackedLinear([try take(prefix + "mlp.down_proj.weight")])))
        }
        self.layers = layers
    }

    /// Bytes of the packed weights, all of which a step reads.
    public var weightBytes: Int {
        layers.reduce(head.byteCount) {
            $0 + $1.attention.weightBytes + $1.gateUp.byteCount + $1.down.byteCount
        }
    }

    /// The logits of the step's rows numbered `rows` (ascending), [rows, vocab]; keys and values go to `cache`.
    public func logits(_ step: RaggedBatch, rows: [Int32], cache: inout some KVCache) -> Storage {
        let hidden = config.hiddenSize
        let count = step.tokens.count
        let positions = step.positions(in: cache)
        precondition(
            positions.allSatisfy { Int($0) < config.maxSequence }, "ServingModel: a position is past \(config.maxSequence)")
        var x = embedding.rows(of: step.tokens)
        for (index, layer) in layers.enumerated() {
            var attended = layer.attention.attend(
                normalized(x, layer.attentionNorm, rows: count), step, positions, layer: index, cache: &cache)
            // After the last attention only the rows asked for matter.
            var left = count
            if index == layers.count - 1, rows.count < count {
                left = rows.count
                (x, attended) = (gathered(x, rows, hidden), gathered(attended, rows, layer.attention.outputWidth))
            }
            layer.attention.project(attended, rows: left, into: x)
            let gated = Storage(count: left * config.feedForwardSize)
            layer.gateUp.run(normalized(x, layer.feedForwardNorm, rows: left), rows: left, into: gated)
            layer.down.run(gated, rows: left, into: x, .add)
        }
        cache.commit(step)
        let logits = Storage(count: rows.count * config.vocabularySize)
        head.run(normalized(x, finalNorm, rows: rows.count), rows: rows.count, into: logits)
        return logits
    }

    /// The logits of each sequence's last token, [sequences, vocab].
    public func logits(_ step: RaggedBatch, cache: inout some KVCache) -> Storage {
        logits(step, rows: step.lastRows, cache: &cache)
    }

    private func normalized(_ x: Storage, _ weight: Storage, rows: Int) -> Storage {
        let y = Storage(count: rows * config.hiddenSize)
        Normalization.rmsNorm(
            x: x, weight: weight, into: y, rstd: Storage(count: rows), rows: rows, width: config.hiddenSize, epsilon: epsilon)
        return y
    }

    private func gathered(_ x: Storage, _ rows: [Int32], _ width: Int) -> Storage {
        let y = Storage(count: rows.count * width)
        Gather.rows(of: x, at: rows, width: width, into: y)
        return y
    }
}
