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
        var projections: PackedLinear
        var output: PackedLinear
        var feedForwardNorm: Storage
        var gateUp: PackedLinear
        var down: PackedLinear
        var rotary: RotaryTable
        /// Of queries, keys and values side by side, where the model has biases.
        var bias: Storage?
        var outputBias: Storage?
        /// Gains of the norms of queries and keys, where the model has them.
        var headNorms: [Storage] = []
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
            let headDim = config.headDim[index]
            let rotary =
                rotaries[headDim] ?? config.rotaryTable(headDim: headDim)
            rotaries[headDim] = rotary
            let prefix = "model.layers.\(index)."
            var layer =
                Layer(
                    attentionNorm: try take(prefix + "input_layernorm.weight").float32(),
                    projections: PackedLinear([
                        try take(prefix + "self_attn.q_proj.weight"), try take(prefix + "self_attn.k_proj.weight"),
                        try take(prefix + "self_attn.v_proj.weight"),
                    ]), output: PackedLinear([try take(prefix + "self_attn.o_proj.weight")]),
                    feedForwardNorm: try take(prefix + "post_attention_layernorm.weight").float32(),
                    gateUp: PackedLinear(
                        gate: try take(prefix + "mlp.gate_proj.weight"), up: try take(prefix + "mlp.up_proj.weight")),
                    down: PackedLinear([try take(prefix + "mlp.down_proj.weight")]), rotary: rotary)
            if config.hasQueryKeyValueBias == true {
                var bias: [Float] = []
                for name in ["q_proj", "k_proj", "v_proj"] {
                    bias += try take(prefix + "self_attn.\(name).bias").float32().array()
                }
                layer.bias = Storage(copying: bias)
            }
            if config.hasOutputBias == true { layer.outputBias = try take(prefix + "self_attn.o_proj.bias").float32() }
            if config.hasQueryKeyNorm == true {
                for name in ["q_norm", "k_norm"] {
                    layer.headNorms.append(try take(prefix + "self_attn.\(name).weight").float32())
                }
            }
            layers.append(layer)
        }
        self.layers = layers
    }

    /// Bytes of the packed weights, all of which a step reads.
    public var weightBytes: Int {
        layers.reduce(head.byteCount) {
            $0 + $1.projections.byteCount + $1.output.byteCount + $1.gateUp.byteCount + $1.down.byteCount
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
            let (heads, kvHeads, headDim) = (config.heads[index], config.kvHeads[index], config.headDim[index])
            let qkv = Storage(count: count * (heads + 2 * kvHeads) * headDim)
            layer.projections.run(normalized(x, layer.attentionNorm, rows: count), rows: count, into: qkv)
            if let bias = layer.bias { RowWise.add(bias, to: qkv, rows: count) }
            if layer.headNorms.count == 2 {
                let width = (heads + 2 * kvHeads) * headDim
                RowWise.normHeads(
                    qkv, gain: layer.headNorms[0], rows: count, stride: width, offset: 0, heads: heads, epsilon: epsilon)
                RowWise.normHeads(
                    qkv, gain: layer.headNorms[1], rows: count, stride: width, offset: heads * headDim, heads: kvHeads,
                    epsilon: epsilon)
            }
            layer.rotary.rotate(
                qkv, positions: positions, rows: count, stride: (heads + 2 * kvHeads) * headDim, heads: heads + kvHeads,
                headDim: headDim)
            var attended = cache.attend(
                layer: index, CachedQueries(qkv: qkv, heads: heads, kvHeads: kvHeads, headDim: headDim), step
            ).output
            // After the last attention only the rows asked for matter.
            var left = count
            if index == layers.count - 1, rows.count < count {
                left = rows.count
                (x, attended) = (gathered(x, rows, hidden), gathered(attended, rows, heads * headDim))
            }
            layer.output.run(attended, rows: left, into: x, .add)
            if let bias = layer.outputBias { RowWise.add(bias, to: x, rows: left) }
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
