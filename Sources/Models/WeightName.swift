/// The name of a weight: its module and, within a layer, the layer's number; written as in Hugging Face's Llama.
///
///     "\(WeightName(.key, layer: 3))" == "model.layers.3.self_attn.k_proj.weight"
public struct WeightName: Sendable, Hashable, CustomStringConvertible {
    /// An embedding, a norm or a linear map: a module with one weight, and a bias where the model has it.
    public enum Module: String, Sendable {
        case embedding = "model.embed_tokens"
        case positions = "model.embed_positions"
        /// The norm after the last layer.
        case finalNorm = "model.norm"
        /// The output projection of an untied model.
        case head = "lm_head"
        // Modules of each layer, under "model.layers.N.".
        case attentionNorm = "input_layernorm"
        case query = "self_attn.q_proj"
        case key = "self_attn.k_proj"
        case value = "self_attn.v_proj"
        case output = "self_attn.o_proj"
        /// The norm of each head's queries.
        case queryNorm = "self_attn.q_norm"
        /// The norm of each head's keys.
        case keyNorm = "self_attn.k_norm"
        /// The projection to the latent and the rotated key of latent attention.
        case compress = "self_attn.kv_a_proj_with_mqa"
        case latentNorm = "self_attn.kv_a_layernorm"
        /// The projection from the latent to each head's keys and values.
        case expand = "self_attn.kv_b_proj"
        case feedForwardNorm = "post_attention_layernorm"
        case gate = "mlp.gate_proj"
        case up = "mlp.up_proj"
        case down = "mlp.down_proj"

        /// Whether the module is part of a layer's attention.
        public var isAttention: Bool { rawValue.hasPrefix("self_attn.") }
    }

    /// The module.
    public var module: Module
    /// The decoder layer; nil for a module outside the layers.
    public var layer: Int?
    /// Whether it is the module's bias.
    public var isBias: Bool

    /// The name of a module's weight, or of its bias.
    public init(_ module: Module, layer: Int? = nil, isBias: Bool = false) {
        (self.module, self.layer, self.isBias) = (module, layer, isBias)
    }

    /// The name of the same module's bias.
    public var bias: WeightName { WeightName(module, layer: layer, isBias: true) }

    /// The name in files.
    public var description: String { stored(module.rawValue) }

    /// The name in a file with the module under `module` and the layers under `layers`.
    public func stored(_ module: String, layers: String = "model.layers") -> String {
        (layer.map { "\(layers).\($0)." } ?? "") + module + (isBias ? ".bias" : ".weight")
    }
}

/// A binding of weights: returns the value of each weight, by its name and shape.
///
/// A declaration lists the weights of one part of a decoder once, in file order. Applied to a declaration, a binding collects
/// names and shapes, or supplies tensors for the training form, or stored weights for the serving form and for conversions.
public typealias WeightBinding<Value, Failure: Error> = (WeightName, [Int]) throws(Failure) -> Value

extension ModelConfig {
    /// Every weight's name and shape, in file order; linear weights are [out, in].
    ///
    /// A tied model has no ``WeightName/Module/head``.
    public var weights: [(name: WeightName, shape: [Int])] {
        var weights: [(name: WeightName, shape: [Int])] = []
        func declare(_ name: WeightName, _ shape: [Int]) { weights.append((name, shape)) }
        _ = EmbeddingWeights(self, declare)
        for layer in 0..<layers { _ = LayerWeights(self, layer: layer, declare) }
        _ = HeadWeights(self, declare)
        return weights
    }

    /// The names and shapes of ``weights``, with names as in files.
    public var weightShapes: [(name: String, shape: [Int])] { weights.map { ("\($0.name)", $0.shape) } }

    /// Number of parameters, a tied embedding counted once.
    public var parameterCount: Int { weights.reduce(0) { $0 + $1.shape.reduce(1, *) } }
}
