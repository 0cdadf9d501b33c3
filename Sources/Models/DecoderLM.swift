import Autograd
import Kernels

/// A decoder language model of the Llama architecture (Touvron et al. 2023): RMSNorm, RoPE in half-split order, grouped-query
/// attention, SwiGLU, tied or untied output projection.
///
/// Variants: biases (Qwen2), QK-norm (Qwen3), sliding windows (Mistral), scaled RoPE (Llama 3.1); LayerNorm, an activation in
/// place of the gate and learned positions (GPT-2) or partial rotary ones with a parallel residual (GPT-NeoX); latent attention
/// (DeepSeek-V2) in place of per-head keys; keys and values shared between layers.
///
/// The training form: a value, cheap to rebuild from its configuration and parameters, that runs over whole sequences without a
/// cache. ``ServingModel`` decodes with a cache.
public struct DecoderLM: Sendable {
    /// The model's shape.
    public let config: ModelConfig
    let embedding: Tensor
    /// Position embeddings, added to the token embeddings, where positions are learned.
    let positions: Tensor?
    /// The block of a layer: kept, or made on demand over weights that are widened for as long as it is used.
    let block: @Sendable (Int) -> Block
    let finalNorm: Norm<Tensor>
    let head: Tensor
    /// Precision and activation checkpointing of passes.
    public var compute = ComputeOptions()
    /// Rotary tables by head dim: they depend on the configuration alone.
    let rotaries: [Int: RotaryTable]

    /// Builds the model from its weights, widened to Float32.
    public init(config: ModelConfig, parameters: Parameters) throws(ParametersError) {
        try parameters.validate(against: config)
        try self.init(config) { (name, shape) throws(ParametersError) in Tensor(try parameters.weight(name, shape: shape)) }
    }

    /// Builds the model with only the weights outside the blocks kept in Float32: a block's weights are widened anew in each
    /// pass. For evaluation in large batches, where widening is little work; the results are the same.
    public init(widening parameters: Parameters, config: ModelConfig) throws(ParametersError) {
        try parameters.validate(against: config)
        var kept = Parameters()
        for name in parameters.names { kept[name] = parameters[name]?.evaluated }
        var rotaries: [Int: RotaryTable] = [:]
        let tables = (0..<config.layers).map { config.rotary($0, among: &rotaries) }
        let block: @Sendable (Int) -> Block = { [kept] layer in
            Block(config, layer: layer, rotary: tables[layer]) { name, _ in
                guard let weight = kept[name] else { preconditionFailure("DecoderLM: '\(name)' was there when it was validated") }
                return Tensor(weight)
            }
        }
        try self.init(config, block, rotaries) { (name, shape) throws(ParametersError) in
            Tensor(try parameters.weight(name, shape: shape))
        }
    }

    /// Builds the model over tensors under their Hugging Face names, such as a trainer's variables.
    ///
    /// The rotary tables are taken from `earlier`, a model of the same configuration, where it is given.
    public init(config: ModelConfig, tensors: [String: Tensor], earlier: DecoderLM? = nil) throws(ParametersError) {
        try self.init(config, earlier: earlier) { (name, shape) throws(ParametersError) in
            guard let tensor = tensors["\(name)"] else { throw .missing(name: "\(name)", shape: shape) }
            return tensor
        }
    }

    private init(
        _ config: ModelConfig, earlier: DecoderLM? = nil, _ bind: WeightBinding<Tensor, ParametersError>
    ) throws(ParametersError) {
        var rotaries = earlier?.config == config ? earlier?.rotaries ?? [:] : [:]
        var blocks: [Block] = []
        for layer in 0..<config.layers {
            blocks.append(try Block(config, layer: layer, rotary: config.rotary(layer, among: &rotaries), bind))
        }
        try self.init(config, { [blocks] in blocks[$0] }, rotaries, bind)
    }

    private init(
        _ config: ModelConfig, _ block: @escaping @Sendable (Int) -> Block, _ rotaries: [Int: RotaryTable],
        _ bind: WeightBinding<Tensor, ParametersError>
    ) throws(ParametersError) {
        let embeddings = try EmbeddingWeights(config, bind)
        let head = try HeadWeights(config, bind)
        (self.config, self.block, self.rotaries) = (config, block, rotaries)
        (embedding, positions) = (embeddings.tokens, embeddings.positions)
        (finalNorm, self.head) = (head.norm, head.projection ?? embeddings.tokens)
    }

    /// Shared keys and values computed so far in a pass, by layer.
    typealias SharedKeysAndValues = [Int: Tensor]

    /// Block `layer` over x [batch·seq, hidden].
    func run(_ layer: Int, _ x: Tensor, _ input: ModelInput, _ shared: inout SharedKeysAndValues) -> Tensor {
        let block = block(layer)
        if let own = block.sharedKeysAndValues(x, compute.precision) { shared[layer] = own }
        return block(x, keysAndValues: shared[config.keyValueSource(layer) ?? layer], input, compute)
    }

    /// The residual stream after the last block and the final norm, [batch·seq, hidden].
    func hidden(_ input: ModelInput) -> Tensor {
        precondition(input.seq <= config.maxSequence, "DecoderLM: \(input.seq) positions, the model has \(config.maxSequence)")
        var x = embedded(input)
        var shared = SharedKeysAndValues()
        for layer in 0..<config.layers { x = run(layer, x, input, &shared) }
        return finalNorm(x)
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

    /// The logits of the positions `rows` of [batch·seq] alone: [rows, vocab].
    public func logits(_ input: ModelInput, rows: [Int32]) -> Tensor {
        let wanted = Storage(count: rows.count * config.hiddenSize)
        Gather.rows(of: hidden(input).storage, at: rows, width: config.hiddenSize, into: wanted)
        return Tensor(shape: [rows.count, config.hiddenSize], storage: wanted).linear(head, precision: compute.precision)
    }
}

extension Tensor {
    /// A constant with the values of a stored weight, widened to Float32.
    init(_ weight: Weight) { self.init(shape: Shape(weight.shape), storage: weight.float32()) }
}
