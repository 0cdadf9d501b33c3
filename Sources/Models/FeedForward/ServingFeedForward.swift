import Kernels

/// A norm made ready for serving: RMSNorm, or LayerNorm where there is a bias.
struct ServingNorm: Sendable {
    private let gain: Storage
    private let bias: Storage?
    private let epsilon: Float

    /// The norm called `name`, such as "model.norm".
    init(_ config: ModelConfig, _ name: String, take: (String) throws(ParametersError) -> Weight) throws(ParametersError) {
        gain = try take(name + ".weight").float32()
        bias = config.hasLayerNorm == true ? try take(name + ".bias").float32() : nil
        epsilon = Float(config.normEpsilon)
    }

    /// Rows of x [rows, hidden], normed, for packed weights of `elementType`.
    func callAsFunction(_ x: Storage, rows: Int, for elementType: ElementType) -> PackedRows {
        guard let bias else { return Normalization.rmsNorm(x: x, weight: gain, rows: rows, epsilon: epsilon, for: elementType) }
        return Normalization.layerNorm(x: x, weight: gain, bias: bias, rows: rows, epsilon: epsilon, for: elementType)
    }
}

/// A feed-forward layer made ready for serving: SwiGLU in one product where it has no biases.
struct ServingFeedForward: Sendable {
    private let up: PackedLinear
    private let down: PackedLinear
    private let width: Int
    private let activation: Activation?
    /// Of gate and up side by side, and of down, where the model has biases.
    private var upBias: Storage?
    private var downBias: Storage?

    /// The layer whose weights are named behind `prefix`, such as "model.layers.0.mlp.".
    init(_ config: ModelConfig, _ prefix: String, take: (String) throws(ParametersError) -> Weight) throws(ParametersError) {
        (width, activation) = (config.feedForwardSize, config.activation)
        let hasBias = config.hasFeedForwardBias == true
        let names = activation == nil ? ["gate_proj", "up_proj"] : ["up_proj"]
        var weights: [Weight] = []
        for name in names { weights.append(try take(prefix + name + ".weight")) }
        up = activation == nil && !hasBias ? PackedLinear(gate: weights[0], up: weights[1]) : PackedLinear(weights)
        down = PackedLinear([try take(prefix + "down_proj.weight")])
        guard hasBias else { return }
        var values: [Float] = []
        for name in names { values += try take(prefix + name + ".bias").float32().array() }
        upBias = Storage(copying: values)
        downBias = try take(prefix + "down_proj.bias").float32()
    }

    /// Bytes of the packed weights.
    var weightBytes: Int { up.byteCount + down.byteCount }

    /// How the weights are kept that normed rows are multiplied with.
    var elementType: ElementType { up.elementType }

    /// Adds the layer's output for normed rows of the hidden size to x [rows, hidden].
    func add(_ normed: PackedRows, into x: Storage) {
        down.run(hidden(normed), into: x, .add)
        if let downBias { RowWise.add(downBias, to: x, rows: normed.count) }
    }

    /// What `down` takes.
    private func hidden(_ normed: PackedRows) -> PackedRows {
        if up.isSwiGLU { return up.run(normed, for: down) }
        let rows = normed.count
        let hidden = Storage(count: rows * up.outputs)
        up.run(normed, into: hidden)
        if let upBias { RowWise.add(upBias, to: hidden, rows: rows) }
        if let activation {
            Elementwise.unary(activation.kernel, hidden, into: hidden)
            return PackedRows(hidden, count: rows, width: width)
        }
        let gated = Storage(count: rows * width)
        SwiGLU.forward(gateUp: hidden, into: gated, rows: rows, width: width)
        return PackedRows(gated, count: rows, width: width)
    }
}
