/// The name of a weight: its module and, within a layer, the layer's number; written as in Hugging Face's Llama.
///
///     "\(WeightName(.key, layer: 3))" == "model.layers.3.self_attn.k_proj.weight"
public struct WeightName: Sendable, Hashable, CustomStringConvertible {
    /// An embedding, a norm or a linear map: a module with one weight, and a bias where the model has it.
    ///
    /// An attention with weights of its own declares its modules beside them.
    public struct Module: Sendable, Hashable {
        /// The name in files; within a layer that under "model.layers.N.".
        public let rawValue: String

        /// The module of this name in files.
        public init(_ rawValue: String) { self.rawValue = rawValue }

        /// The embedding of tokens.
        public static let embedding = Module("model.embed_tokens")
        /// The embedding of learned positions.
        public static let positions = Module("model.embed_positions")
        /// The norm after the last layer.
        public static let finalNorm = Module("model.norm")
        /// The output projection of an untied model.
        public static let head = Module("lm_head")
        // Modules of each layer.
        /// The norm before attention.
        public static let attentionNorm = Module("input_layernorm")
        /// The projection to queries.
        public static let query = Module("self_attn.q_proj")
        /// The projection to keys.
        public static let key = Module("self_attn.k_proj")
        /// The projection to values.
        public static let value = Module("self_attn.v_proj")
        /// Attention's output projection.
        public static let output = Module("self_attn.o_proj")
        /// The norm of each head's queries.
        public static let queryNorm = Module("self_attn.q_norm")
        /// The norm of each head's keys.
        public static let keyNorm = Module("self_attn.k_norm")
        /// The norm before the feed-forward layer.
        public static let feedForwardNorm = Module("post_attention_layernorm")
        /// The feed-forward layer's gate.
        public static let gate = Module("mlp.gate_proj")
        /// The feed-forward layer's projection beside the gate.
        public static let up = Module("mlp.up_proj")
        /// The feed-forward layer's output projection.
        public static let down = Module("mlp.down_proj")

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
