import Autograd
import Kernels

/// A decoder language model of the Llama architecture (Touvron et al. 2023): RMSNorm, RoPE in half-split order, grouped
/// attention, SwiGLU, tied or untied output projection; with what its relatives add: biases (Qwen2), norms of queries and
/// keys (Qwen3), sliding windows (Mistral), scaled RoPE (Llama 3.1); with latent attention (DeepSeek-V2) in place of heads
/// with keys of their own, or with keys and values shared between layers.
///
/// A value, cheap to rebuild from its configuration and parameters. Training runs without a cache over whole sequences;
/// ``logits(_:cache:)`` decodes with one.
public struct DecoderLM: Sendable {
    /// The model's shape.
    public let config: ModelConfig
    let embedding: Tensor
    let blocks: [Block]
    let finalNorm: Tensor
    let head: Tensor
    /// How passes without a cache are computed; decoding is in Float32.
    public var compute = ComputeOptions()
    /// Rotary tables by head dim: they depend on the configuration alone.
    let rotaries: [Int: RotaryTable]

    /// Builds the model from its weights, widened to Float32; `trainable` makes every weight a variable.
    public init(config: ModelConfig, parameters: Parameters, trainable: Bool = false) throws(ParametersError) {
        try parameters.validate(against: config)
        var tensors: [String: Tensor] = [:]
        for name in parameters.names {
            guard let weight = parameters[name] else { continue }
            let tensor = Tensor(shape: Shape(weight.shape), storage: weight.float32())
            tensors[name] = trainable ? .variable(tensor) : tensor
        }
        try self.init(config: config, tensors: tensors)
    }

    /// Builds the model over tensors under their Hugging Face names, such as a trainer's variables.
    ///
    /// `earlier`, a model of the same configuration, lends its rotary tables.
    public init(config: ModelConfig, tensors: [String: Tensor], earlier: DecoderLM? = nil) throws(ParametersError) {
        func take(_ name: String) throws(ParametersError) -> Tensor {
            guard let tensor = tensors[name] else { throw .missing(name: name, shape: []) }
            return tensor
        }
        self.config = config
        embedding = try take("model.embed_tokens.weight")
        var rotaries = earlier?.config == config ? earlier?.rotaries ?? [:] : [:]
        var blocks: [Block] = []
        for layer in 0..<config.layers {
            let rotaryDim = config.rotaryDim(layer)
            let rotary = rotaries[rotaryDim] ?? config.rotaryTable(headDim: rotaryDim)
            rotaries[rotaryDim] = rotary
            let prefix = "model.layers.\(layer)."
            func bias(_ has: Bool?, _ name: String) throws(ParametersError) -> Tensor? {
                has == true ? try take(prefix + name + ".bias") : nil
            }
            let attention = try Self.attention(config: config, layer: layer, rotary: rotary) {
                (name: String) throws(ParametersError) in try take(prefix + "self_attn." + name)
            }
            var block = Block(
                attentionNorm: try take(prefix + "input_layernorm.weight"), attention: attention,
                feedForwardNorm: try take(prefix + "post_attention_layernorm.weight"),
                gate: try take(prefix + "mlp.gate_proj.weight"), up: try take(prefix + "mlp.up_proj.weight"),
                down: try take(prefix + "mlp.down_proj.weight"), epsilon: Float(config.normEpsilon))
            for name in ["gate_proj", "up_proj"] {
                if let bias = try bias(config.hasFeedForwardBias, "mlp." + name) { block.gateUpBiases.append(bias) }
            }
            block.downBias = try bias(config.hasFeedForwardBias, "mlp.down_proj")
            blocks.append(block)
        }
        self.blocks = blocks
        self.rotaries = rotaries
        finalNorm = try take("model.norm.weight")
        head = config.tiedEmbeddings ? embedding : try take("lm_head.weight")
    }

    /// What layers whose keys and values others read have made so far in a pass, by layer.
    typealias SharedKeysAndValues = [Int: Tensor]

    /// Block `layer` over x [batch·seq, hidden].
    func run(_ layer: Int, _ x: Tensor, _ input: ModelInput, _ shared: inout SharedKeysAndValues) -> Tensor {
        if let own = blocks[layer].sharedKeysAndValues(x, compute.precision) { shared[layer] = own }
        return blocks[layer](
            x, keysAndValues: shared[config.keyValueSource(layer) ?? layer], input, layer: layer, compute)
    }

    /// The residual stream after the last block and the final norm, [batch·seq, hidden].
    func hidden(_ input: ModelInput) -> Tensor {
        precondition(input.seq <= config.maxSequence, "DecoderLM: \(input.seq) positions, the model has \(config.maxSequence)")
        var x = embedded(input)
        var shared = SharedKeysAndValues()
        for layer in blocks.indices { x = run(layer, x, input, &shared) }
        return x.rmsNorm(weight: finalNorm, epsilon: Float(config.normEpsilon))
    }

    /// The mean negative log-likelihood in nats of `targets` [batch·seq] (negative ones are not scored), a scalar.
    ///
    /// `normalizer` replaces the number of scored targets, for batches accumulated in parts.
    public func loss(_ input: ModelInput, targets: [Int32], normalizer: Int? = nil) -> Tensor {
        hidden(input).linearCrossEntropy(head, targets: targets, normalizer: normalizer, precision: compute.precision)
    }

    /// Each position's negative log-likelihood in nats, [batch·seq]; 0 where the target is negative.
    public func losses(_ input: ModelInput, targets: [Int32]) -> [Float] {
        LinearCrossEntropy.losses(hidden(input), weight: head, targets: targets, precision: compute.precision)
    }

    /// The logits of every position, [batch·seq, vocab].
    public func logits(_ input: ModelInput) -> Tensor { hidden(input).linear(head, precision: compute.precision) }

    /// The logits of the last token of each sequence of a ragged batch, [sequences, vocab], with keys and values read
    /// from and added to `cache`.
    public func logits(_ step: RaggedBatch, cache: inout some KVCache) -> Tensor {
        var x = embedding.embedding(step.tokens)
        for (layer, block) in blocks.enumerated() { x = block(x, step, layer: layer, cache: &cache) }
        cache.commit(step)
        let last = Storage(count: step.counts.count * config.hiddenSize)
        Gather.rows(of: x.storage, at: step.lastRows, width: config.hiddenSize, into: last)
        return Tensor(shape: [step.counts.count, config.hiddenSize], storage: last)
            .rmsNorm(weight: finalNorm, epsilon: Float(config.normEpsilon)).linear(head)
    }
}
